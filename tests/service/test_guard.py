"""Clients that do not behave, on real sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import trustme
import uvicorn
from uvicorn.server import ServerState

from service.guard import (
    AT_ONCE,
    LEAVING_SECONDS,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Guard,
    Limits,
    guarded,
    look_over,
    send_whole,
    without_upgrade,
)
from service.keys import add_key

from ..patience import PATIENCE, until
from .conftest import free_port

DEADLINE = 0.5  # seconds; the server looks twice a second
HEAD = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


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


class Wire:
    """A transport that keeps what is written, and a cycle over it."""

    def __init__(self, method: str = "GET", *, keep_alive: bool = True) -> None:
        self.written: list[bytes] = []
        self.closed = self.done = False
        self.cycle = SimpleNamespace(
            flow=SimpleNamespace(write_paused=False), disconnected=False, default_headers=[(b"date", b"today")],
            keep_alive=keep_alive, scope={"method": method}, transport=self, message_event=asyncio.Event(),
            on_response=self.finish, response_started=False, response_complete=False, waiting_for_100_continue=True,
        )  # fmt: skip

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def finish(self) -> None:
        self.done = True


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "keep_alive", "headers", "expected"),
    [
        ("GET", True, [(b"a", b"b")], b"a: b\r\n\r\nbody"),
        ("HEAD", True, [(b"content-length", b"4")], b"content-length: 4\r\n\r\n"),
        ("GET", False, [(b"a", b"b")], b"a: b\r\nconnection: close\r\n\r\nbody"),
        ("GET", True, [(b"connection", b"close")], b"connection: close\r\n\r\nbody"),
        ("GET", False, [(b"connection", b"close")], b"connection: close\r\n\r\nbody"),
    ],
)
async def test_an_answer_goes_out_in_one_piece(method, keep_alive, headers, expected):
    wire = Wire(method, keep_alive=keep_alive)
    await send_whole(wire.cycle, 404, headers, b"body")
    assert wire.written == [b"HTTP/1.1 404 Not Found\r\ndate: today\r\n" + expected]
    assert wire.closed == (b"close" in expected)
    assert (
        wire.done
        and wire.cycle.response_complete
        and wire.cycle.message_event.is_set()
        and not wire.cycle.waiting_for_100_continue
    )


@pytest.mark.anyio
@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
async def test_a_header_cannot_begin_another_one(value):
    wire = Wire()
    with pytest.raises(RuntimeError, match="line break"):
        await send_whole(wire.cycle, 200, [(b"x-request-id", value)], b"")
    assert wire.written == []


@pytest.mark.anyio
@pytest.mark.parametrize("leaves", [False, True])
async def test_an_answer_waits_until_the_client_has_read_those_before_it(leaves):
    wire = Wire()
    wire.cycle.flow.write_paused = True
    drained = []

    async def drain() -> None:
        assert wire.written == []
        drained.append(True)
        wire.cycle.disconnected = leaves

    wire.cycle.flow.drain = drain
    await send_whole(wire.cycle, 200, [], b"body")
    assert (len(drained), len(wire.written)) == (1, 0 if leaves else 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\nUpgrade: a\r\n\r\n\r\nupgrade: b", b"GET / HTTP/1.1\r\nignored: a\r\n\r\n\r\nupgrade: b"),
        (b"GET / HTTP/1.1\r\nupgrade: a\r\nUPGRADE: b", b"GET / HTTP/1.1\r\nignored: a\r\nignored: b"),
        (b"\r\nupgrade: a\r\n\r\n", b"\r\nignored: a\r\n\r\n"),
        (b"GET /upgrade HTTP/1.1\r\na: upgrade\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\na: b\r\n\r\n\r\nupgrade: b", None),
        (b"\r\n\r\n\r\nupgrade: b", None),
    ],
)
def test_of_a_request_only_the_header_that_offers_another_protocol_is_taken_out(data, expected):
    assert without_upgrade(data) == (data if expected is None else expected)


@pytest.mark.anyio
async def test_nothing_is_written_to_who_has_left():
    wire = Wire()
    wire.cycle.disconnected = True
    await send_whole(wire.cycle, 200, [], b"body")
    assert wire.written == []


def connected(app: Any) -> tuple[Any, Mock, ServerState]:
    """A connection of a server of `app`, and what it writes to."""
    config = uvicorn.Config(app, http=guarded(Limits(10, 10)), lifespan="off", log_config=None)
    config.load()
    transport = Mock(spec=asyncio.Transport, get_extra_info=lambda name, default=None: None)
    transport.is_closing = lambda: transport.close.called
    state = ServerState()
    connection = config.http_protocol_class(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    return connection, transport, state


@pytest.mark.anyio
async def test_requests_leave_nothing_for_the_collector_of_garbage(make_client):
    """What refers to itself stays until the collector comes, and it keeps everybody waiting then."""
    connection, transport, _ = connected(make_client().app)

    async def ask(times: int) -> None:
        for _ in range(times):
            connection.data_received(b"GET /health/live HTTP/1.1\r\nhost: testserver\r\n\r\n")
            await asyncio.gather(*connection.tasks)
            transport.reset_mock()

    await ask(3)
    gc.collect()
    gc.disable()
    try:
        await ask(50)
        assert gc.collect() < 50
    finally:
        gc.enable()
    connection.connection_lost(None)


@pytest.mark.anyio
async def test_of_several_requests_of_a_client_that_leaves_none_is_begun_or_answered_any_more():
    gate, begun, heard = asyncio.Event(), [], []

    async def app(scope, receive, send):
        begun.append(scope["path"])
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        heard.append((await receive())["type"])

    connection, transport, state = connected(app)
    connection.data_received(b"".join(b"GET /%d HTTP/1.1\r\nhost: testserver\r\n\r\n" % number for number in range(3)))
    await asyncio.sleep(0)
    connection.connection_lost(ConnectionResetError())
    gate.set()
    while state.tasks:
        await asyncio.gather(*state.tasks)
    assert (begun, heard) == (["/0"], ["http.disconnect"])
    transport.write.assert_not_called()


@pytest.mark.anyio
async def test_whoever_waits_for_a_client_that_leaves_hears_of_it_though_other_requests_stand_behind():
    heard: list[str] = []

    async def app(scope, receive, send):
        for _ in range(2):
            heard.append((await receive())["type"])

    connection, _, state = connected(app)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: testserver\r\n\r\n" * 2)
    await asyncio.sleep(0)
    assert heard == ["http.request"]
    assert connection in state.connections
    connection.connection_lost(None)
    assert connection not in state.connections
    async with asyncio.timeout(PATIENCE):
        while state.tasks:
            await asyncio.gather(*state.tasks)
    assert heard == ["http.request", "http.disconnect"]


def answered(transport: Mock) -> list[bytes]:
    """The statuses of what was written."""
    return [
        part[:3] for part in b"".join(call.args[0] for call in transport.write.call_args_list).split(b"HTTP/1.1 ")[1:]
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("what", ["bytes", "lines"])
async def test_as_much_as_headers_may_be_they_may_be(make_client, what, more):
    url = b"/health/live"
    headers = [(b"host", b"testserver")]
    if what == "lines":
        headers += [(b"a%d" % number, b"b") for number in range(MAX_HEADERS - 1 + more)]
    else:
        left = MAX_HEADER_BYTES - len(url) - len(b"host: testserver\r\n") + more
        headers += [(b"a", b"b" * 1019)] * (left // 1024 - 1)
        headers += [(b"a", b"b" * (left - 1024 * (len(headers) - 1) - 5))]
    connection, transport, _ = connected(make_client().app)
    connection.data_received(
        b"GET %b HTTP/1.1\r\n" % url + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"
    )
    await asyncio.gather(*connection.tasks)
    assert answered(transport) == [b"431" if more else b"200"]
    connection.connection_lost(None)


@pytest.mark.anyio
async def test_a_client_has_its_time_to_the_end_and_no_longer():
    connection, transport, _ = connected(None)
    due = connection.due
    assert not connection.look(due) and answered(transport) == []
    assert connection.look(due + 0.1) and answered(transport) == [b"408"]
    transport.close.assert_called_once()
    connection.connection_lost(None)


@pytest.mark.anyio
async def test_a_client_that_we_do_not_read_from_is_not_late():
    connection, transport, _ = connected(None)
    connection.data_received(b"POST / HTTP/1.1\r\nhost: a\r\n")
    connection.flow.pause_reading()
    assert not connection.look(connection.due + 100)
    connection.flow.resume_reading()
    assert connection.look(connection.due + 100)
    connection.connection_lost(None)


@pytest.mark.anyio
async def test_a_client_that_does_not_read_is_broken_off_when_its_time_is_over_and_not_when_it_reads_again():
    connection, transport, _ = connected(None)
    connection.due = inf
    connection.pause_writing()
    assert not connection.look(connection.unread_since + connection.limits.body)
    connection.resume_writing()
    assert not connection.look(1e12)
    connection.pause_writing()
    assert connection.look(connection.unread_since + connection.limits.body + 0.1)
    transport.abort.assert_called_once()
    connection.connection_lost(None)


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


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


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


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "gone"), [("/silent", True), ("/begun", False)])
async def test_whoever_sends_no_more_is_taken_for_gone_if_no_answer_begins_in_a_while(monkeypatch, path, gone):
    left = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda seconds, what: left.append((seconds, what)))
    gate = asyncio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await gate.wait()

    connection, transport, state = connected(app)
    assert not connection.eof_received(), "it has asked for nothing"
    connection.data_received(b"GET %b HTTP/1.1\r\nhost: testserver\r\n\r\n" % path.encode())
    await asyncio.sleep(0)
    assert connection.eof_received(), "its answer is to come"
    transport.close.assert_not_called()
    (leave,) = [what for seconds, what in left if seconds == LEAVING_SECONDS]
    leave()
    assert transport.close.called == gone
    connection.connection_lost(None)
    gate.set()
    while state.tasks:
        await asyncio.gather(*state.tasks)


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


@pytest.mark.anyio
async def test_a_thousand_that_are_overdue_together_are_closed_a_few_at_a_time_and_freed_at_once(monkeypatch):
    monkeypatch.setattr("service.guard.LOOK_SECONDS", 0.0)
    loop, passes, freed_before_the_last = asyncio.get_running_loop(), [0], []

    class Overdue(Guard):
        looked: list[int] = []
        alive: list[weakref.ref[Overdue]] = []

        def __init__(self) -> None:
            self.alive.append(weakref.ref(self))

        def look(self, now: float) -> bool:
            self.looked.append(passes[0])
            freed_before_the_last[:] = [ref() is None for ref in self.alive]
            state.connections.discard(self)
            return True

    def count() -> None:
        passes[0] += 1
        if len(Overdue.looked) < 1000:
            loop.call_soon(count)

    state = ServerState()
    state.connections = {Overdue() for _ in range(1000)}
    loop.call_soon(count)
    looking = asyncio.ensure_future(look_over(state))
    while len(Overdue.looked) < 1000:
        await asyncio.sleep(0)
    looking.cancel()
    assert max(Counter(Overdue.looked).values()) <= AT_ONCE
    assert sum(freed_before_the_last) >= 998
