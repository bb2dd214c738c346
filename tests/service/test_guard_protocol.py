"""What the guard makes of a connection, event by event and without sockets."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from math import inf
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
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

from ..patience import PATIENCE


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
