"""Says no before a request has cost anything, while more waits than can be answered in time.

At ten times what can be answered nine of ten requests are refused. Each as a task, with its body received and kept,
they would take a third of the time that is for the others. So a request is refused from its headers alone; and one that
has come whole and has nothing unusual about it, as nearly all have, without the parser.

And they are refused several at a time: to wake for each takes the interpreter from the thread that works so often that
a sixth of its time is lost (docs/LOG.md, 2026-11-22).
"""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter, sleep

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.admission import OVERLOADED, Admission
from service.answer import Headers
from service.errors import OverloadedError, error_answer
from service.lifecycle import Lifecycle
from service.middleware.metrics import Count
from service.middleware.request_id import HEADER
from service.native_wire import native

REST_SECONDS = 0.002  # well below the 10 ms in which a refusal is to be there
MOST_BYTES, MOST_HEADERS = 4096, 50  # of a head that is read here
HEAD = re.compile(
    rb"POST ([!-~]++) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n)*+)\r\n"  # RFC 9110, 5.6.2
)
LENGTH_DIGITS = 18
LINE = re.compile(rb"([^:\r\n]++):[ \t]*+([^\r\n]*+)\r\n")
# What changes where a request ends, or what becomes of the connection.
UNUSUAL = frozenset({b"expect", b"proxy-connection", b"transfer-encoding", b"upgrade"})


def usual_request(data: bytes, begin: int, most_bytes: int, most_headers: int) -> tuple[bytes, bytes, int] | None:
    """Of the POST request that `data` has from `begin` on: its path, its x-request-id (b"": none), and where it ends.

    None where it has not come whole, has a larger head, or has anything about it of which more than that may depend.
    """
    head = HEAD.match(data, begin, begin + most_bytes)
    if head is None:
        return None
    lines = LINE.findall(head[2])
    headers = {name.lower(): value for name, value in lines}
    length = headers.get(b"content-length", b"")
    if (
        len(headers) != len(lines)  # one is repeated
        or len(lines) > most_headers
        or not UNUSUAL.isdisjoint(headers)
        or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        or not length.isdigit()
        or len(length) > LENGTH_DIGITS
        or head.end() + int(length) > len(data)
    ):
        return None
    return head[1], headers.get(HEADER, b""), head.end() + int(length)


class TurnAway:
    """`doors` are the paths of POST requests that wait for their turn, and what lets them in.

    A service that is told to end turns nobody away: it has to say so to whom it answers.
    """

    def __init__(
        self,
        doors: Mapping[str, Admission],
        name: Callable[[bytes], str],
        count: Count,
        lifecycle: Lifecycle,
    ) -> None:
        self._doors = {path.encode("ascii"): (path, admission) for path, admission in doors.items()}
        self._admissions = list(doors.values())
        self._name = name
        self._count = count
        self._lifecycle = lifecycle
        # the answer that errors.py gives, in two pieces: the request's id is all that differs
        answer = error_answer(OverloadedError(OVERLOADED))
        self._status = answer.status
        self._body = answer.body.removesuffix(b'"}}'), b'"}}'
        self._head = b"".join(b"%b: %b\r\n" % header for header in answer.headers)
        self._resting = False
        self._refused: dict[bytes, int] = {}  # by path, and not counted yet
        self._since = 0.0  # when the first of them came, of time.perf_counter
        compiled = native()
        self._usual_request = compiled.usual_request if compiled else usual_request
        self._common: Headers = []
        self._start = b""

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to be refused."""
        for admission in self._admissions:  # asked for whatever comes in: any() takes twice as long
            if admission.is_full:
                return not self._lifecycle.draining
        return False

    def rest(self, loop: AbstractEventLoop) -> None:
        """After a refusal: what else comes within REST_SECONDS is to be refused together, unless the loop has work."""
        if not self._resting:
            self._resting = True
            loop.call_soon(self._rest)

    def _rest(self) -> None:
        self._resting = False
        for url, count in self._refused.items():
            path, admission = self._doors[url]
            self._count("POST", path, self._status, self._since, count)
            admission.count_refused(count)
        self._refused.clear()
        if not any(admission.on_loop for admission in self._admissions):
            sleep(REST_SECONDS)  # the loop itself: the threads have the core and the interpreter to themselves

    def early(
        self, url: bytes, headers: Iterable[tuple[bytes, bytes]], common: Headers, in_hand: int, loop: AbstractEventLoop
    ) -> bytes | None:
        """The refusal of a POST request whose body need not have come yet; None for one that may try its luck.

        `common` are headers that every answer has. What tries its luck is let in a pass of the loop later; so that all
        that comes until then does not follow it, its body counts from now, as far as it is `in_hand` (bytes).
        """
        if url not in self._doors:
            return None
        _, admission = self._doors[url]
        if admission.is_full and self.wanted:
            return self._refusal(url, next((value for name, value in headers if name == HEADER), b""), common)
        if admission.bytes:
            if not admission.coming:
                loop.call_soon(admission.has_come)  # runs when the request's own task does
            admission.coming += in_hand
        return None

    def whole(self, data: bytes, common: Headers) -> tuple[list[bytes], int]:
        """Refusals of the requests that `data` begins with, as far as they are whole and usual; where the rest begins.

        What is said to one is what `early` says; what is left has to be parsed.
        """
        refusals: list[bytes] = []
        begin = 0
        while begin < len(data):
            found = self._usual_request(data, begin, MOST_BYTES, MOST_HEADERS)
            if found is None or found[0] not in self._doors:
                break
            path, given, end = found
            refusal = self._refusal(path, given, common)
            if refusal is None:
                break
            refusals.append(refusal)
            begin = end
        return refusals, begin

    def _refusal(self, url: bytes, given: bytes, common: Headers) -> bytes | None:
        _, admission = self._doors[url]
        if not admission.is_full:
            return None
        if not self._refused:
            self._since = perf_counter()
        self._refused[url] = self._refused.get(url, 0) + 1
        seconds, name = admission.retry_after(), self._name(given.strip(b" \t")).encode("ascii")
        if common is not self._common:
            self._common = common
            self._start = STATUS_LINE[self._status] + b"".join(b"%b: %b\r\n" % header for header in common) + self._head
        before, after = self._body
        return b"%bretry-after: %d\r\nx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b%b%b" % (
            self._start, seconds, name, len(before) + len(name) + len(after), before, name, after
        )  # fmt: skip
