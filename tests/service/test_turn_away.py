"""Refusing before the body has come, on real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.admission import Admission
from service.request_context import REQUEST_ID
from service.turn_away import TurnAway

from ..patience import PATIENCE, until

HEAD = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


def post(body: bytes, *, head: bytes = HEAD) -> bytes:
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


@contextmanager
def connection(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=PATIENCE) as client:
        yield client


def answers(client: socket.socket, count: int) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Status, headers and body of the next answers."""
    found, data = [], b""
    while len(found) < count:
        head, end, rest = data.partition(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if end and len(rest) >= int(headers[b"content-length"]):
            length = int(headers[b"content-length"])
            found.append((int(head[9:12]), headers, rest[:length]))
            data = rest[length:]
            continue
        part = client.recv(65536)
        assert part, f"closed after {len(found)} answers and {data!r}"
        data += part
    assert data == b""
    return found


@pytest.fixture(scope="module")
def full(launch) -> Iterator[str]:
    """A service in which more waits than may."""
    url = launch("--engine", "slow", "--max-queued-bytes", "1", "--body-timeout", "0.5").wait_until_ready().url
    work = json.dumps({"texts": ["wait"]}).encode()  # for ever
    with connection(url) as client:
        client.sendall(post(work))

        def is_full() -> bool:
            headers = {"content-type": "text/plain"}
            return httpx.post(url + "/v1/classify", content=b"{", headers=headers).status_code == 429

        until(is_full, "a full service")
        yield url


def test_a_request_is_refused_before_its_body_has_come(full):
    with connection(full) as client:
        client.sendall(HEAD + b"x-request-id: mine\r\ncontent-length: 20\r\n\r\n")
        ((status, headers, body),) = answers(client, 1)
        assert (status, headers[b"x-request-id"], headers[b"content-type"]) == (429, b"mine", b"application/json")
        assert int(headers[b"retry-after"]) >= 1 and b"date" in headers
        assert json.loads(body)["error"]["code"] == "overloaded"
        assert json.loads(body)["error"]["request_id"] == "mine"
        client.sendall(b"x" * 13)
        client.sendall(b"y" * 7 + LIVE)
        assert answers(client, 1)[0][0] == 200


def test_several_are_refused_on_one_connection_and_others_answered_in_order(full):
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with connection(full) as client:
        client.sendall(post(b"{}") * 3 + LIVE + post(b"{}") + chunked + LIVE + chunked + post(b"{}"))
        assert [status for status, _, _ in answers(client, 9)] == [429, 429, 429, 200, 429, 429, 200, 429, 429]


@pytest.mark.parametrize(
    "head",
    [HEAD.replace(b"1.1", b"1.0"), HEAD + b"connection: close\r\n"],
    ids=["HTTP/1.0", "connection: close"],
)
def test_who_does_not_stay_is_refused_and_closed(full, head):
    with connection(full) as client:
        client.sendall(post(b"{}", head=head))
        ((status, headers, _),) = answers(client, 1)
        assert (status, headers[b"connection"]) == (429, b"close")
        assert client.recv(1) == b""


def test_who_asks_whether_to_send_the_body_is_told_not_to(full):
    with connection(full) as client:
        client.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 20\r\n\r\n")
        assert answers(client, 1)[0][0] == 429


def test_a_body_that_never_comes_is_not_waited_for(full):
    with connection(full) as client:
        client.sendall(HEAD + b"content-length: 20\r\n\r\n")
        assert answers(client, 1)[0][0] == 429
        assert client.recv(65536) == b""


def test_what_is_no_http_after_a_refusal_is_refused_as_such(full):
    with connection(full) as client:
        client.sendall(post(b"{}") + b"GARBAGE\r\n\r\n")
        assert [status for status, _, _ in answers(client, 2)] == [429, 400]
        assert client.recv(1) == b""


def test_refusals_are_counted_like_all_answers(full):
    def counted() -> tuple[float, float]:
        lines = httpx.get(full + "/metrics").text.splitlines()
        asked = [line for line in lines if "_requests_total{" in line and '"/v1/classify"' in line and '"429"' in line]
        refused = [line for line in lines if "_rejections_total{" in line and '"overloaded"' in line]
        assert len(asked) == len(refused) == 1
        return float(asked[0].split()[-1]), float(refused[0].split()[-1])

    before = counted()
    with connection(full) as client:
        client.sendall(post(b"{}") * 5)
        answers(client, 5)
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (5, 5)


def test_paths_that_do_not_wait_for_a_turn_are_answered(full):
    assert httpx.get(full + "/v1/models").status_code == 200
    assert httpx.get(full + "/v1/classify").status_code == 405
    assert httpx.post(full + "/v1/feedback", json={}).status_code in (404, 422)


def test_only_a_full_service_and_only_at_its_doors_turns_away():
    admission = Admission(max_wait=1.0, max_bytes=10)
    told = []
    turn_away = TurnAway({"/v1/classify": admission}, lambda given: given.decode(), lambda *all_: told.append(all_[:3]))
    headers = [(b"x-request-id", b"mine")]
    assert turn_away(b"/v1/classify", headers) is None
    with admission.let_in(0.0, 11):
        answer = turn_away(b"/v1/classify", headers)
        assert answer is not None and answer.status == 429
        assert turn_away(b"/v1/models", headers) is None
        assert turn_away(b"/v1/classify?a=b", headers) is None
    assert turn_away(b"/v1/classify", headers) is None
    assert (told, REQUEST_ID.get()) == ([("POST", "/v1/classify", 429)], "")
