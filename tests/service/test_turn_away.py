"""Refusing before the body has come, on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from service.admission import Admission
from service.guard import Guard, Limits, guarded
from service.lifecycle import Lifecycle
from service.native_wire import native
from service.turn_away import MOST_BYTES, MOST_HEADERS, TurnAway, usual_request

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


def said(url: str, data: bytes) -> bytes:
    """All that comes back for some bytes, until the connection is closed, but for ids, dates and times to come back."""
    found = []
    with connection(url) as client:
        client.sendall(data)
        with suppress(ConnectionResetError):  # closed on bytes that were not read
            while part := client.recv(65536):
                found.append(part)
    changing = (
        rb'(?<=date: )[^\r]*|(?<=retry-after: )\d+|(?<=x-request-id: )[0-9a-f]{32}|(?<="request_id":")[0-9a-f]{32}'
    )
    return re.sub(changing, b"...", b"".join(found))


def many(headers: int) -> bytes:
    return b"".join(b"a%d: b\r\n" % number for number in range(headers))


LAST = LIVE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
TO_CHUNK = HEAD + b"transfer-encoding: chunked\r\n"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
LENGTH = HEAD + b"content-length: "
SHAPES = {
    "usual": post(b"{}"),
    "its own id": post(b"{}", head=HEAD + b"X-Request-ID: mine\r\n"),
    "an id twice": post(b"{}", head=HEAD + b"x-request-id: mine\r\nx-request-id: other\r\n"),
    "an id with a space behind": post(b"{}", head=HEAD + b"x-request-id: mine \r\n"),
    "a harmful id": post(b"{}", head=HEAD + b'x-request-id: "}}\r\n'),
    "three": post(b"{}") * 3,
    "another path between": post(b"{}") + post(b"{}", head=HEAD.replace(b"classify", b"nothing")) + post(b"{}"),
    "chunked": TO_CHUNK + b"\r\n" + CHUNKS,
    "length and chunked": TO_CHUNK + b"content-length: 2\r\n\r\n" + CHUNKS,
    "chunked and length": LENGTH + b"2\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
    "identity": post(b"{}", head=HEAD + b"transfer-encoding: identity\r\n"),
    "length twice": post(b"{}", head=LENGTH + b"2\r\n"),
    "two lengths": post(b"{}", head=LENGTH + b"7\r\n"),
    "a list of lengths": LENGTH + b"2, 2\r\n\r\n{}",
    "a length with a plus": LENGTH + b"+2\r\n\r\n{}",
    "a length below zero": LENGTH + b"-2\r\n\r\n{}",
    "a length in hex": LENGTH + b"0x2\r\n\r\n{}",
    "a length with spaces": LENGTH + b" 2 \r\n\r\n{}",
    "a length with zeros": LENGTH + b"000000000000002\r\n\r\n{}",
    "an empty length": LENGTH + b"\r\n\r\n{}",
    "a length beyond all": LENGTH + b"9" * 30 + b"\r\n\r\n{}",
    "no length": HEAD + b"\r\n",
    "no headers": b"POST /v1/classify HTTP/1.1\r\n\r\n",
    "the length only": b"POST /v1/classify HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
    "half a body": LENGTH + b"2000\r\n\r\n{}",
    "more than its body": post(b"{}") + b"{}",
    "empty lines between": post(b"{}") + b"\r\n\r\n" + post(b"{}"),
    "a space before the colon": post(b"{}", head=HEAD + b"content-length : 7\r\n"),
    "a folded header": post(b"{}", head=HEAD + b"a: b\r\n content-length: 7\r\n"),
    "lines that end with LF": post(b"{}").replace(b"\r\n", b"\n"),
    "a line that ends with CR": post(b"{}", head=HEAD + b"a: b\rcontent-length: 7\r\n"),
    "a zero byte": post(b"{}", head=HEAD + b"a: b\0c\r\n"),
    "a header without name": post(b"{}", head=HEAD + b": b\r\n"),
    "a header without colon": post(b"{}", head=HEAD + b"ab\r\n"),
    "an empty header": post(b"{}", head=HEAD + b"a:\r\n"),
    "Latin-1": post(b"{}", head=HEAD + b"a: \xe4\r\n"),
    "keep-alive": post(b"{}", head=HEAD + b"Connection: Keep-Alive\r\n"),
    "close": post(b"{}", head=HEAD + b"connection: close\r\n"),
    "close, and more": post(b"{}", head=HEAD + b"connection: a, close\r\n"),
    "close by its other name": post(b"{}", head=HEAD + b"proxy-connection: close\r\n"),
    "upgrade": post(b"{}", head=HEAD + b"connection: upgrade\r\nupgrade: websocket\r\n"),
    "upgrade without saying so": post(b"{}", head=HEAD + b"upgrade: h2c\r\n"),
    "expect": post(b"{}", head=HEAD + b"expect: 100-continue\r\n"),
    "expect something else": post(b"{}", head=HEAD + b"expect: nothing\r\n"),
    "HTTP/1.0": post(b"{}", head=HEAD.replace(b"1.1", b"1.0")),
    "HTTP/2.0": post(b"{}", head=HEAD.replace(b"1.1", b"2.0")),
    "the whole address": post(b"{}", head=HEAD.replace(b"/v1", b"http://localhost/v1")),
    "a query": post(b"{}", head=HEAD.replace(b"classify", b"classify?a=b")),
    "a fragment": post(b"{}", head=HEAD.replace(b"classify", b"classify#a")),
    "another case": post(b"{}", head=HEAD.replace(b"POST", b"post")),
    "two spaces": post(b"{}", head=HEAD.replace(b"POST ", b"POST  ")),
    "a hundred headers": post(b"{}", head=HEAD + many(97)),
    "a header more than that": post(b"{}", head=HEAD + many(98)),
    "5,000 bytes of headers": post(b"{}", head=HEAD + b"a: " + b"b" * 5000 + b"\r\n"),
    "20,000 bytes of headers": post(b"{}", head=HEAD + b"a: " + b"b" * 20_000 + b"\r\n"),
}


LINES = [
    b"host: localhost\r\n",
    b"Connection: Keep-Alive\r\n",
    b"X-Request-Id: \tmine \r\n",
    b"connection: close\r\n",
    b"connection:\r\n",
    b"Upgrade: h2c\r\n",
    b"EXPECT: \r\n",
    b"transfer-encoding: chunked\r\n",
    b"proxy-connection: keep-alive\r\n",
    b"Content-Length: 0\r\n",
    b"content-length: 0000000000000000000001\r\n",
    b"content-length: \xb2\r\n",
    b"a`^: \xe4\x80\r\n",
    b"A`^:\x7f\r\n",
    b"a~^:\x00\r\n",
    b"@: b\r\n",
    b"`: b\r\n",
    b"[: b\r\n",
    b"{: b\r\n",
    b"a b: c\r\n",
    b" a: b\r\n",
    b": b\r\n",
    b"a\r\n",
    b"\r\n",
]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_what_is_refused_without_the_parser_is_told_what_the_parser_would_have_it_told(full, shape):
    # an empty line before a request is passed over by the parser, and by nobody else
    assert said(full, shape + LAST) == said(full, b"\r\n" + shape + LAST)


@pytest.mark.skipif(native() is None, reason="service._wire is not compiled")
@given(
    st.lists(st.sampled_from(LINES), max_size=5).map(b"".join),
    st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=2)), max_size=2),
    st.integers(-1, 40),
    st.integers(0, 6),
)
@example(b"".join(LINES[:3]), [], 0, 6)
def test_compiled_code_finds_the_end_of_a_request_where_python_does(lines, changes, begin, most):
    data = bytearray(b"POST /v1/classify HTTP/1.1\r\n" + lines + b"content-length: 3\r\n\r\n{}\n")
    for place, other in changes:
        data[min(place, len(data) - 1) : place + 1] = other
    data = b"POST / HTTP/1.1\r\n"[:begin] + bytes(data) if begin > 0 else bytes(data)
    begin = max(begin, 0)
    for end in {len(data), len(data) - 1, len(data) // 2}:
        found = native().usual_request(data[:end], begin, 120, most)
        assert found == usual_request(data[:end], begin, 120, most)


@pytest.mark.skipif(native() is None, reason="service._wire is not compiled")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_compiled_code_finds_usual_what_python_does(shape):
    for end in range(len(shape) + 1 if len(shape) < 1000 else 0, len(shape) + 1):
        found = native().usual_request(shape[:end], 0, MOST_BYTES, MOST_HEADERS)
        assert found == usual_request(shape[:end], 0, MOST_BYTES, MOST_HEADERS)


def test_what_is_usual_is_told_by_path_id_and_end():
    request = post(b"{}", head=HEAD + b"X-Request-ID: mine\r\n")
    ways = [usual_request, *([native().usual_request] if native() else [])]
    for way in ways:
        assert way(b"12" + request + b"3", 2, MOST_BYTES, MOST_HEADERS) == (b"/v1/classify", b"mine", len(request) + 2)
        assert way(request, 0, len(request) - 3, 4) is None, "a head that is too long"
        assert way(request, 0, len(request) - 2, 4) is not None
        assert way(request, 0, MOST_BYTES, 3) is None, "a header too many"
        assert way(request, len(request), MOST_BYTES, 4) is None


@pytest.mark.parametrize("id_", [b"", b"x-request-id: mine\r\n"], ids=["without an id", "with an id"])
def test_a_refusal_is_the_same_whoever_gives_it(full, id_):
    """The connection, before the body or with it, and the application, which is asked where the client waits."""
    whole = said(full, post(b"{}", head=HEAD + id_) + LAST)
    assert whole.startswith(b"HTTP/1.1 429 Too Many Requests\r\ndate: ...\r\ncontent-type: application/json\r\n")
    for other in (b"\r\n" + post(b"{}", head=HEAD + id_), post(b"{}", head=HEAD + id_ + b"expect: 100-continue\r\n")):
        assert said(full, other + LAST) == whole


def test_a_client_that_is_refused_may_stay_as_long_as_any_other():
    """The timer is set for the first refusal, and looks when it ends whether there were others since."""
    loop = asyncio.new_event_loop()
    try:
        closed, now = [], [100.0]
        guard = connected(loop, closed, now)
        guard.data_received(post(b"{}"))
        first = guard.timeout_keep_alive_task
        assert first is not None and first.when() == 105.0
        now[0] = 104.0
        guard.data_received(post(b"{}"))
        assert guard.timeout_keep_alive_task is first
        now[0] = 105.0
        guard.timeout_keep_alive_handler()
        assert not closed
        assert guard.timeout_keep_alive_task.when() == 109.0
        now[0] = 109.0
        guard.timeout_keep_alive_handler()
        assert closed
    finally:
        loop.close()


@pytest.mark.parametrize("request_", [post(b"{}"), b"\r\n" + post(b"{}")], ids=["whole", "parsed"])
@pytest.mark.parametrize("why", ["closing", "unread"])
def test_nobody_is_refused_who_would_not_read_it(monkeypatch, request_, why):
    loop = asyncio.new_event_loop()
    try:
        closed: list[bool] = []
        guard = connected(loop, closed, [100.0])
        monkeypatch.setattr(Guard, "_start_asgi_task", lambda self, cycle, app: None)  # in its turn
        if why == "closing":
            closed.append(True)
        else:
            guard.pause_writing()
        guard.data_received(request_)
        guard.transport.write.assert_not_called()
    finally:
        loop.close()


def connected(loop: asyncio.AbstractEventLoop, closed: list[bool], now: list[float]) -> Guard:
    """A connection of a service that is full, on a loop whose time is `now`."""
    admission = Admission(max_wait=0.0, max_bytes=0)
    admission.bytes = 1
    loop.time = lambda: now[0]
    return connected_to(admission, None, loop, closed)


def connected_to(admission: Admission, app: Any, loop: asyncio.AbstractEventLoop, closed: list[bool]) -> Guard:
    doors = {"/v1/classify": admission}
    turn_away = TurnAway(doors, lambda given: "id", lambda *all_: None, Lifecycle())
    config = uvicorn.Config(app, log_config=None, timeout_keep_alive=5)
    config.loaded_app = app
    guard = guarded(Limits(1.0, 1.0, turn_away=turn_away))(config, ServerState(), {}, loop)
    transport = MagicMock(spec=asyncio.Transport)
    transport.is_closing.side_effect = lambda: bool(closed)
    transport.close.side_effect = lambda: closed.append(True)
    guard.connection_made(transport)
    return guard


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("others", "statuses"), [(60, [b"", b"429", b"429"]), (20, [b"", b"", b"429"]), (0, [b""] * 3)]
)
async def test_of_those_who_come_together_no_more_try_their_luck_than_may_have_it(others, statuses):
    """Each is let in a pass of the loop after it came: asking the others for their bodies would cost as much again."""
    admission = Admission(max_wait=1.0, max_bytes=1000)
    asked: list[str] = []

    async def app(scope, receive, send):
        asked.append(scope["path"])

    loop, written = asyncio.get_running_loop(), []
    admission.seconds, admission.bytes = others / 80, others  # bytes: 80 of them take as long as may be waited for
    guards = [connected_to(admission, app, loop, []) for _ in range(3)]
    for guard in guards:
        guard.data_received(post(b"x" * 35))
        sent = b"".join(call.args[0] for call in guard.transport.write.call_args_list)
        written.append(sent[9:12])
    assert written == statuses
    await asyncio.gather(*(task for guard in guards for task in guard.tasks))
    assert len(asked) == statuses.count(b"")
    assert admission.coming == 0


def test_what_comes_counts_at_its_own_door_though_another_is_full():
    here, there = Admission(max_wait=1.0, max_bytes=100), Admission(max_wait=1.0, max_bytes=1)
    doors = {"/v1/classify": here, "/v1/explain": there}
    turn_away = TurnAway(doors, lambda given: "id", lambda *all_: None, Lifecycle())
    with here.let_in(0.5, 10), there.let_in(0.5, 2):
        assert turn_away.wanted
        assert turn_away.early(b"/v1/classify", [], [], 7, MagicMock(spec=asyncio.AbstractEventLoop)) is None
    assert (here.coming, there.coming) == (7, 0)


@pytest.mark.anyio
async def test_a_body_that_does_not_come_keeps_nobody_out():
    admission = Admission(max_wait=1.0, max_bytes=1000)
    guard = connected_to(admission, None, asyncio.get_running_loop(), [])
    with admission.let_in(0.5, 10):
        guard._start_asgi_task = lambda cycle, app: None
        guard.data_received(HEAD + b"content-length: 500\r\n\r\n" + b"x" * 20)
        assert admission.coming >= 20 and admission.is_full
        await asyncio.sleep(0)
        assert not admission.is_full


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
    told, reasons, loop = [], [], MagicMock(spec=asyncio.AbstractEventLoop)
    lifecycle = Lifecycle()
    admission = Admission(max_wait=1.0, max_bytes=10, refused=lambda *why: reasons.append(why))
    doors = {"/v1/classify": admission}
    turn_away = TurnAway(
        doors, lambda given: given.decode(), lambda *all_: told.append((*all_[:3], all_[4])), lifecycle
    )
    request = post(b"{}", head=HEAD + b"x-request-id: mine\r\n")

    def refused(path: bytes) -> tuple[bool, bool]:
        refusals, _ = turn_away.whole(request.replace(b"/v1/classify", path), [])
        return turn_away.early(path, [(b"x-request-id", b"mine")], [], 1, loop) is not None, bool(refusals)

    assert refused(b"/v1/classify") == (False, False)
    with admission.let_in(0.0, 11):
        assert refused(b"/v1/classify") == (True, True)
        assert refused(b"/v1/models") == (False, False)
        assert refused(b"/v1/classify?a=b") == (False, False)
        assert turn_away.wanted
        lifecycle.draining = True
        assert not turn_away.wanted
    assert refused(b"/v1/classify") == (False, False)
    turn_away.rest(loop)
    for _ in range(2):  # it has counted them the first time
        loop.call_soon.call_args.args[0]()
    assert (told, reasons) == ([("POST", "/v1/classify", 429, 2)], [("overloaded", 2)])


def test_the_loop_rests_once_a_pass_after_refusals_unless_the_work_is_its_own(monkeypatch):
    rests = []
    monkeypatch.setattr("service.turn_away.sleep", rests.append)
    admission = Admission(max_wait=1.0, max_bytes=10)
    turn_away = TurnAway({"/v1/classify": admission}, lambda given: "id", lambda *all_: None, Lifecycle())

    async def refuse(*, on_loop: bool) -> int:
        rests.clear()
        with admission.let_in(0.0, 11, on_loop=on_loop):
            for _ in range(2):
                for _ in range(3):
                    turn_away.rest(asyncio.get_running_loop())
                await asyncio.sleep(0)
        return len(rests)

    assert asyncio.run(refuse(on_loop=False)) == 2
    assert asyncio.run(refuse(on_loop=True)) == 0
    assert asyncio.run(refuse(on_loop=False)) == 2


@pytest.mark.parametrize("request_", [post(b"{}"), HEAD + b"content-length: 2000\r\n\r\n"], ids=["whole", "begun"])
def test_whoever_is_refused_makes_the_loop_rest(monkeypatch, request_):
    rests = []
    monkeypatch.setattr(TurnAway, "rest", lambda self, loop: rests.append(loop))
    loop = asyncio.new_event_loop()
    try:
        connected(loop, [], [100.0]).data_received(request_)
        assert rests == [loop]
    finally:
        loop.close()


def test_who_is_refused_while_the_service_ends_is_told_to_close(launch):
    server = launch("--engine", "slow", "--max-queued-bytes", "1", "--drain-seconds", "60").wait_until_ready()
    with connection(server.url) as working, connection(server.url) as client:
        working.sendall(post(json.dumps({"texts": ["wait"]}).encode()))
        until(lambda: asked(client)[0] == 429, "a full service")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(server.url + "/health/ready").status_code == 503, "the drain")
        status, headers = asked(client)
        assert (status, headers[b"connection"]) == (429, b"close")
        assert client.recv(1) == b""


def asked(client: socket.socket) -> tuple[int, dict[bytes, bytes]]:
    client.sendall(post(b"{}"))
    return answers(client, 1)[0][:2]
