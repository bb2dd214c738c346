"""What uvicorn leaves open: clients that never finish their headers or body, or do not read; headers without end.

One look over all connections twice a second; on the way of a request it costs a few assignments.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from functools import partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.answer import CLOSE, Headers
from service.turn_away import TurnAway

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
AT_ONCE = 4  # connections closed in one pass of the loop: a thousand of them must not keep the others waiting
TURN_SECONDS = 0.0003  # of looking at those that stay
# How long a client that sends no more may be one that waits for its answer. It looks the same as one that has left,
# whose work is not to be done, so it is short.
LEAVING_SECONDS = 0.25
MAX_HEADER_BYTES = 16_384
MAX_HEADERS = 100
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
REASONS = {
    400: ("bad_request", "This is not HTTP as we read it."),
    408: ("too_slow", "The request did not come in time."),
    431: (
        "headers_too_large",
        f"Headers and address take more than {MAX_HEADER_BYTES:,} bytes or {MAX_HEADERS} lines.",
    ),
}


@dataclass(frozen=True)
class Limits:
    """Seconds: for the headers of a request, for its body (a stream: for its next piece), for reading an answer."""

    header: float
    body: float
    streams: frozenset[str] = frozenset()  # paths whose body may go on for ever
    turn_away: TurnAway | None = None


class HeadersTooLargeError(Exception):
    """Ends the parsing of a request."""


class Guard(HttpToolsProtocol):
    """One connection. Give it to uvicorn as `http=guarded(limits)`."""

    limits: Limits

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # when what we wait for has to be there, of loop.time(); inf: we wait for nothing, or uvicorn's keep-alive does
        self.due = inf
        self.unread_since = inf  # since when the client does not read
        self.in_headers = True
        self.unseen = self.fed = 0  # bytes since the parser told us of anything but headers; of those, in hand
        self.refusal = 400
        self.last_read: RequestResponseCycle | None = None  # the last request that came whole
        self.begun: RequestResponseCycle | None = None  # the last request whose answer was begun
        self.refused: int | None = None  # the status with which we close when that one is answered
        self.cut = False  # whether the rest of the body is not wanted any more
        self.turned_away = False  # whether the body that comes belongs to a request that was refused
        self.between = True  # whether the parser waits for the beginning of a request
        self.stays_until = 0.0  # of loop.time(); the keep-alive timer is set once for many refusals

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        self.due = self.loop.time() + self.limits.header

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn tells the last request only, which may stand behind others
        if self.begun is not None and not self.begun.response_complete:
            self.begun.disconnected = True
            cast("dict[str, Any]", self.begun.scope)["textcnn.left"] = True
            self.begun.message_event.set()
        self.pipeline.clear()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's closes
        """A client that sends no more may wait for its answer, or have left; over TLS nobody can do the former."""
        if self.scheme == "https" or self.last_read is None or self.last_read.response_complete:
            return False
        self.last_read.keep_alive = False
        self.loop.call_later(LEAVING_SECONDS, self.leave)
        return True

    def leave(self) -> None:
        """Take a client that sends no more for one that left."""
        if self.begun is not None and not self.begun.response_started:
            self.transport.close()  # where an answer is on its way, writing it shows whether anybody is there

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.begun = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self.refused is not None:
            return
        if self.between and self.limits.turn_away is not None and self.limits.turn_away.wanted:
            data = self.turn_away_whole(data)
            if not data:
                return
        if self.due == inf and self.in_headers:
            # from its first byte on, which need not be one that the parser takes for the beginning
            self.due = self.loop.time() + self.limits.header
        if self.in_headers:
            data = without_upgrade(data)
        self.fed = len(data)
        super().data_received(data)
        if self.parser is not None:
            # a line without end is not shown to us before it ends
            self.unseen += len(data)
            if self.unseen > MAX_HEADER_BYTES:
                self.refuse(431)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEADER_BYTES or len(self.headers) > MAX_HEADERS:
            self.refusal = 431
            raise HeadersTooLargeError
        self.in_headers, self.unseen = False, -self.fed
        self.due = self.loop.time() + self.limits.body
        scope = cast("dict[str, Any]", self.scope)  # which has keys of ours beside those that uvicorn knows
        scope["textcnn.arrived"] = perf_counter()
        if not self.turn_away(max(1, self.fed - size)):
            super().on_headers_complete()
            scope["textcnn.send_whole"] = partial(send_whole, self.cycle)
        self.headers = []  # trailers are no headers: RFC 9110, 6.5.1

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.between = False

    def is_answered(self) -> bool:
        """Whether an answer can go out at once, and will be the next."""
        under_way = self.cycle is not None and not self.cycle.response_complete
        return not (under_way or self.flow.write_paused or self.transport.is_closing())

    def turn_away(self, in_hand: int) -> bool:
        """Refuse a request that stands alone from its headers, if all is full; `in_hand` are bytes of its body."""
        if self.limits.turn_away is None or self.parser.get_method() != b"POST":
            return False
        if not self.parser.should_keep_alive() or self.expect_100_continue or not self.is_answered():
            return False
        refusal = self.limits.turn_away.early(
            self.url, self.headers, self.server_state.default_headers, in_hand, self.loop
        )
        if refusal is None:
            return False
        self.turned_away = True
        self.transport.write(refusal)
        self.limits.turn_away.rest(self.loop)
        self.on_response_complete()
        return True

    def turn_away_whole(self, data: bytes) -> bytes:
        """Refuse the requests that `data` begins with, as far as that needs no parser. Returns the rest."""
        assert self.limits.turn_away is not None
        if not self.is_answered():
            return data
        refusals, end = self.limits.turn_away.whole(data, self.server_state.default_headers)
        if not refusals:
            return data
        self.transport.write(refusals[0] if len(refusals) == 1 else b"".join(refusals))
        self.limits.turn_away.rest(self.loop)
        self.server_state.total_requests += len(refusals)
        self.due = inf
        self.stays_until = self.loop.time() + self.timeout_keep_alive
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()
        return data[end:]

    def timeout_keep_alive_handler(self) -> None:
        left = self.stays_until - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def on_chunk_header(self) -> None:
        self.unseen = -self.fed

    def on_chunk_complete(self) -> None:
        self.unseen = -self.fed

    def on_body(self, body: bytes) -> None:
        self.unseen = -self.fed
        if self.cut or self.turned_away:
            return
        if self.scope["path"] in self.limits.streams and not self.cycle.response_complete:
            self.due = self.loop.time() + self.limits.body
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.in_headers, self.between, self.due = True, True, inf
        self.unseen = -self.fed  # the bytes in hand belong to what is complete
        if self.turned_away:
            self.turned_away = False
            return
        self.last_read = self.cycle
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.refused is not None:
            self.refuse(self.refused)

    def shutdown(self) -> None:
        """The server ends: what is under way is finished; of a body that may go on for ever, what has come of it."""
        super().shutdown()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.more_body:
            return
        if self.cycle.scope["path"] in self.limits.streams:
            cast("dict[str, Any]", self.cycle.scope)["textcnn.cut"] = True
            # what comes now is read and dropped: closing on bytes that were not read loses the last of the answer
            self.cut, self.due, self.cycle.more_body = True, inf, False
            self.cycle.message_event.set()
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread_since = inf

    def send_400_response(self, msg: str) -> None:
        self.refuse(self.refusal)

    def refuse(self, status: int) -> None:
        """Say why, unless an answer is under way, and close; both when what came whole before is answered."""
        self.due = inf
        if self.transport.is_closing():
            return
        if self.last_read is not None and not self.last_read.response_complete:
            self.refused = status
            if self.pipeline and self.pipeline[0][0] is not self.last_read:
                self.pipeline.popleft()  # what did not come whole is not begun
            return
        # a body that goes on after the answer belongs to that one
        complete = self.cycle is not None and self.cycle.response_complete
        answered = self.turned_away or (complete and not self.in_headers)
        if not answered and (self.cycle is None or self.cycle.response_complete or not self.cycle.response_started):
            code, message = REASONS[status]
            body = orjson.dumps({"error": {"code": code, "message": message, "request_id": ""}})
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()

    def look(self, now: float) -> bool:
        """Close the connection if it is overdue. Returns whether it was."""
        if now - self.unread_since > self.limits.body:
            self.transport.abort()  # what is not read cannot be sent first
        elif now > self.due and not self.flow.read_paused:
            self.refuse(408)
        else:
            return False
        return True


async def send_whole(cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
    """What the two messages of ASGI would, as one: one system call and one packet in the place of two.

    `headers` say the length of the body.
    """
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started, cycle.waiting_for_100_continue = True, False
    headers = [*cycle.default_headers, *headers]
    if CLOSE in headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        headers.append(CLOSE)
    head = _head(status, headers)
    cycle.transport.write(head if cycle.scope["method"] == "HEAD" else head + body)
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def _head(status: int, headers: Headers) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
        raise RuntimeError("a header of an answer has a line break")
    return b"%b%b\r\n" % (STATUS_LINE[status], head)


def without_upgrade(data: bytes) -> bytes:
    """A request, or the beginning of one, that offers no other protocol: we have none.

    httptools takes what follows such headers for the other protocol, and the body is lost.
    """
    end = data.find(b"\r\n\r\n")
    if data.find(b"pgrade", 0, end) < 0 and data.find(b"PGRADE", 0, end) < 0:
        return data
    end = len(data) if end < 0 else end
    return UPGRADE.sub(b"\r\nignored:", data[:end]) + data[end:]


def guarded(limits: Limits) -> type[Guard]:
    """The protocol with its limits, for uvicorn makes the objects itself."""
    return type("LimitedGuard", (Guard,), {"limits": limits})


async def look_over(state: ServerState) -> None:
    """Look over all connections of a server, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now, began, closed = loop.time(), perf_counter(), 0
        connections = list(state.connections)
        while connections:
            # not kept: to free all that were closed at the end would take milliseconds
            connection = connections.pop()
            if isinstance(connection, Guard):
                closed += connection.look(now)
            if closed == AT_ONCE or perf_counter() - began > TURN_SECONDS:
                del connection
                await asyncio.sleep(0)
                began, closed = perf_counter(), 0
