"""Says no before a request has cost anything, while more waits than can be answered in time.

At ten times what can be answered nine of ten requests are refused. Each as a task, with its body received and kept,
they would take a third of the time that is for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter

from service.admission import Admission
from service.answer import Answer
from service.errors import OverloadedError, error_answer
from service.middleware.request_id import HEADER
from service.request_context import REQUEST_ID


class TurnAway:
    """`doors` are the paths of POST requests that wait for their turn, and what lets them in."""

    def __init__(
        self,
        doors: Mapping[str, Admission],
        name: Callable[[bytes], str],
        count: Callable[[str, str, int, float], None],
    ) -> None:
        self._doors = {path.encode("ascii"): admission for path, admission in doors.items()}
        self._name = name
        self._count = count

    def __call__(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
        """The refusal of a POST request whose body has not come yet; None for one that may try its luck."""
        admission = self._doors.get(url)
        if admission is None or not admission.is_full:
            return None
        arrived = perf_counter()
        given = next((value for name, value in headers if name == HEADER), b"")
        token = REQUEST_ID.set(self._name(given))
        try:
            admission.check(0)
        except OverloadedError as error:
            answer = error_answer(error)
            answer.headers.append((HEADER, REQUEST_ID.get().encode("ascii")))
            self._count("POST", url.decode("ascii"), answer.status, arrived)
            return answer
        finally:
            REQUEST_ID.reset(token)
        return None
