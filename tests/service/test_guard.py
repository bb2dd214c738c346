"""Clients that do not behave, on real sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from service.keys import add_key

from ..patience import PATIENCE, until
from .conftest import free_port

DEADLINE = 0.5  # seconds; the server looks twice a second
HEAD = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(launch):
    timeouts = ["--header-timeout", str(DEADLINE), "--body-timeout", str(DEADLINE)]
    return launch(*timeouts, "--max-body-bytes", "100000000").wait_until_ready()


@pytest.fixture(scope="module")
def patient(launch):
    return launch().wait_until_ready()


@contextmanager
def connection(server, port: int = 0) -> Iterator[socket.socket]:
    with socket.create_connection(
        ("127.0.0.1", port or int(server.url.rpartition(":")[2])), timeout=PATIENCE
    ) as client:
        yield client


def until_closed(client: socket.socket) -> bytes:
    """Everything that comes before the server closes."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def trickled(client: socket.socket, begin: bytes, piece: bytes) -> bytes:
    client.sendall(begin)
    client.settimeout(0.1)
    received = bytearray()

    def closed() -> bool:
        try:
            client.sendall(piece)
            part = client.recv(65536)
            received.extend(part)
            return not part
        except TimeoutError:
            return False
        except (ConnectionResetError, BrokenPipeError):
            return True

    until(closed, "the end of the connection")
    return bytes(received)


@pytest.mark.parametrize("begin", [b"", b"POST", HEAD, b"\r\n"])
def test_a_client_that_falls_silent_is_closed_by_the_deadline(server, begin):
    with connection(server) as client:
        client.sendall(begin)
        answer = until_closed(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_slow"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", b"\r\n"),
        (b"POST /", b"x"),
        (HEAD, b"x-more: 1\r\n"),
        (HEAD + b"content-length: 1000\r\n\r\n", b" "),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
)
def test_a_client_that_trickles_is_closed_by_the_deadline(server, begin, piece):
    with connection(server) as client:
        answer = trickled(client, begin, piece)
    assert answer.startswith(b"HTTP/1.1 408 ") or not answer


def test_a_stream_that_was_answered_before_its_end_is_closed_by_the_deadline(launch, tmp_path):
    add_key(tmp_path / "keys", "shop", ["infer"], 0)
    timeouts = ["--header-timeout", str(DEADLINE), "--body-timeout", str(DEADLINE)]
    server = launch(*timeouts, "--keys", str(tmp_path / "keys")).wait_until_ready()
    head = b"POST /v1/classify/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
    with connection(server) as client:
        answer = trickled(client, head + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("piece", [b"", b"x-more: 1\r\n"], ids=["silent", "trickling"])
def test_the_admin_port_is_looked_over_too(launch, piece):
    port = free_port()
    server = launch("--header-timeout", str(DEADLINE), "--admin-port", str(port)).wait_until_ready()
    with connection(server, port) as client:
        answer = trickled(client, b"GET /admin/models HTTP/1.1\r\n", piece)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_does_not_begin_tls_is_closed_by_the_deadline(launch, tmp_path):
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    admin = free_port()
    server = launch(
        *("--header-timeout", str(DEADLINE), "--admin-port", str(admin), "--tls-cert", str(tmp_path / "server.pem"))
    )
    until(lambda: "listening" in server.log, "an open port")
    with connection(server) as client:
        assert until_closed(client) == b""


def test_a_trickle_on_a_connection_that_was_used_is_closed_too(server):
    with connection(server) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        trickled(client, b"", b"\r\n")


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"x: " + b"a" * 20_000,
        HEAD + b"a: b\r\n" * 101,
        HEAD + b"x: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 20_000,
    ],
    ids=["a line without end", "many lines", "a long line", "a long address", "an address without end"],
)
def test_headers_that_are_too_large_are_refused(patient, head):
    with connection(patient) as client:
        try:
            client.sendall(
                head if b"\r\n\r\n" in head or b"without" in head else head + b"\r\n\r\n"[: len(head) % 2 * 4]
            )
            answer = until_closed(client)
        except (ConnectionResetError, BrokenPipeError):
            answer = b"HTTP/1.1 431 "  # closed while we were still sending
    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""
    assert patient.status("/health/live") == 200


@pytest.mark.parametrize(
    "begin",
    [
        CHUNKED + b"2\r\n{}\r\n0\r\nx: ",
        CHUNKED + b"2;",
        CHUNKED + b"2\r\n{}\r\n0;",
        (HEAD + b"content-length: 2\r\n\r\n{}") * 3 + CHUNKED + b"2\r\n{}\r\n0\r\nx: ",
    ],
    ids=["a trailer", "an extension of a chunk", "an extension of the last chunk", "a trailer of a later request"],
)
def test_what_goes_on_without_end_around_a_body_is_refused(patient, begin):
    with connection(patient) as client:
        try:
            client.sendall(begin)
            client.sendall(b"a" * 2_000_000 + b"\r\n{}\r\n0\r\n\r\n")
            answer = until_closed(client)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""  # closed while we were still sending
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 422 ")) or answer == b""
    assert b"408" not in answer and answer.count(b"HTTP/1.1 431 ") <= 1
    assert patient.status("/health/live") == 200


def test_many_small_pieces_of_a_body_are_no_header(patient):
    text = b'{"text": "%b"}' % (b"cherry " * 5000)
    with connection(patient) as client:
        client.sendall(CHUNKED)
        client.sendall(b"".join(b"1\r\n%c\r\n" % letter for letter in text) + b"0\r\na: b\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_trailers_are_no_headers(launch, tmp_path):
    key = add_key(tmp_path / "keys", "shop", ["infer"], 0).encode()
    server = launch("--keys", str(tmp_path / "keys")).wait_until_ready()
    with connection(server) as client:
        client.sendall(CHUNKED + b"2\r\n{}\r\n0\r\nauthorization: Bearer " + key + b"\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "upgrade",
    [
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n",
        b"UPGRADE: websocket\r\nconnection: upgrade\r\n",
    ],
    ids=["HTTP/2", "websocket"],
)
def test_who_offers_another_protocol_is_answered_in_this_one(patient, upgrade):
    """Java's client and curl --http2 offer HTTP/2 with every first request, which may have a body."""
    with connection(patient) as client:
        for _ in range(2):
            client.sendall(HEAD + upgrade + b"content-length: 20\r\n\r\n" + b'{"text": "a cherry"}')
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ") and b'"cherry"' in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_refused(server, request_bytes):
    with connection(server) as client:
        client.sendall(request_bytes)
        answer = until_closed(client)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))


@pytest.mark.parametrize(
    "garbage", [b"GARBAGE\r\n\r\n", HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"], ids=["head", "body"]
)
def test_requests_before_what_is_not_http_are_answered_first(launch, garbage):
    server = launch("--header-timeout", "30").wait_until_ready()
    request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connection(server) as client:
        client.sendall(request * 3 + garbage)
        answer = until_closed(client)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert answer.rindex(b"HTTP/1.1 ") == answer.index(b"HTTP/1.1 400 ")
    _, log = server.stop()
    assert "Traceback" not in log and "exception" not in log


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/models HTTP/1.1", b"400"),
        (b"GET /health/live HTTP/1.1", b"200"),  # a probe that does not know our name
        (b"GET /health/live HTTP/1.0", b"200"),
        (b"GET /v1/models HTTP/1.0", b"421"),
    ],
)
def test_a_request_without_a_host_header_is_not_http_of_today(patient, line, status):
    with connection(patient) as client:
        client.sendall(line + b"\r\nconnection: close\r\n\r\n")
        assert until_closed(client).startswith(b"HTTP/1.1 " + status)


def asked(client: socket.socket, body: bytes) -> None:
    """A request, and then the end of all that this client sends."""
    client.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
    client.shutdown(socket.SHUT_WR)


def test_a_client_that_only_sends_no_more_is_answered(patient):
    def answered() -> bool:  # on a machine under load it may be too late for it
        with connection(patient) as client:
            asked(client, b'{"text": "a cherry"}')
            head, _, body = until_closed(client).partition(b"\r\n\r\n")
        return head.startswith(b"HTTP/1.1 200 ") and json.loads(body)["predictions"][0]["label"] == "cherry"

    until(answered, "an answer")


def test_of_several_requests_all_are_answered_before_the_end(patient):
    request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"

    def answered() -> bool:
        with connection(patient) as client:
            client.sendall(request * 3 + b"GET /v1")
            client.shutdown(socket.SHUT_WR)
            return until_closed(client).count(b"HTTP/1.1 200 ") == 3

    until(answered, "three answers")


@pytest.mark.parametrize("begin", [b"", b"GET / HT", HEAD + b"content-length: 9\r\n\r\n{"])
def test_a_client_that_ends_without_a_whole_request_is_closed(patient, begin):
    with connection(patient) as client:
        client.sendall(begin)
        client.shutdown(socket.SHUT_WR)
        assert until_closed(client) == b""


def test_a_client_that_does_not_read_its_answer_is_closed(server):
    texts = b'{"texts": [' + b",".join([b'"cherry"'] * 1000) + b'], "top_k": 3}'
    request = HEAD + b"content-length: %d\r\n\r\n" % len(texts) + texts
    with connection(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.2)

        def closed() -> bool:
            try:
                client.sendall(request)
            except (ConnectionResetError, BrokenPipeError):
                return True
            except TimeoutError:
                pass
            return False

        until(closed, "the end of the connection")


def test_pipelined_requests_and_kept_connections_are_answered(server):
    request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connection(server) as client:
        client.sendall(request * 3)
        received = b""
        while received.count(b'{"status":"live"}') < 3:
            received += client.recv(65536)
        time.sleep(DEADLINE + 0.7)  # kept alive for longer than headers may take
        client.sendall(request)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
