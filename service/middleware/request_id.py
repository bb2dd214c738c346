"""Give every request an id: the client's own where it is harmless to log, else a new one."""

from __future__ import annotations

import re
import secrets
from itertools import count

from service.answer import Answer
from service.call import Call
from service.request_context import REQUEST_ID
from service.route import Endpoint

HEADER = b"x-request-id"
HARMLESS = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_ids(endpoint: Endpoint) -> Endpoint:
    # An id has to be unique, not secret: a random beginning for each process, and a number.
    process, numbers = secrets.token_hex(8), count()

    async def named(call: Call) -> Answer:
        given = call.header(HEADER)
        if given and HARMLESS.fullmatch(given):
            call.id = given.decode("ascii")
        else:
            call.id = f"{process}{next(numbers):016x}"
        REQUEST_ID.set(call.id)
        answer = await endpoint(call)
        answer.headers.append((HEADER, call.id.encode("ascii")))
        return answer

    return named
