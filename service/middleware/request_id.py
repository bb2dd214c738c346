"""Give every request an id: the client's own where it is harmless to log, else a new one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from itertools import count

from service.answer import Answer
from service.call import Call
from service.request_context import REQUEST_ID
from service.route import Endpoint

HEADER = b"x-request-id"
HARMLESS = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def make_namer() -> Callable[[bytes], str]:
    """A function from the client's header to the id of its request."""
    # An id has to be unique, not secret: a random beginning for each process, and a number.
    process, numbers = secrets.token_hex(8), count()

    def name(given: bytes) -> str:
        if given and HARMLESS.fullmatch(given):
            return given.decode("ascii")
        return f"{process}{next(numbers):016x}"

    return name


def request_ids(endpoint: Endpoint, name: Callable[[bytes], str]) -> Endpoint:
    async def named(call: Call) -> Answer:
        call.id = name(call.header(HEADER))
        REQUEST_ID.set(call.id)
        answer = await endpoint(call)
        answer.headers.append((HEADER, call.id.encode("ascii")))
        return answer

    return named
