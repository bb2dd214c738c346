"""Whom we answer: the right Host, and a key with the scope that the route needs. By default nothing is let through."""

from __future__ import annotations

from service.admission import TokenBucket
from service.answer import Answer
from service.call import Call
from service.errors import BadRequestError, ForbiddenError, MisdirectedError, RateLimitedError, UnauthorizedError
from service.keys import KeyRing
from service.route import Endpoint, RouteTable

BAD_KEYS_PER_SECOND = 20.0


def check_host(endpoint: Endpoint, hosts: frozenset[str], setting: str) -> Endpoint:
    """`hosts` without ports; empty: any. Keeps a web page from asking a service on its visitor's machine.

    Two names in one request might be read as the one here and as the other by a proxy: RFC 9112, 3.2.
    """
    known = {host.encode("ascii") for host in hosts}
    met: set[bytes] = set()  # headers found good, with their port

    async def checked(call: Call) -> Answer:
        found = [value.strip(b" \t") for name, value in call.scope["headers"] if name == b"host"]
        if len(found) > 1:
            raise BadRequestError("The request has several Host headers; send one.")
        given = found[0] if found else b""
        # probes ask by address, and learn nothing that a web page must not know
        if given not in met and not call.path.startswith("/health/"):
            if not found and call.scope["http_version"] == "1.1":
                raise BadRequestError("The request has no Host header, without which it is not HTTP/1.1.")
            name = given.lower().removesuffix(b":" + given.rpartition(b":")[2]) if b":" in given else given.lower()
            if known and name not in known and given.lower() not in known:
                raise MisdirectedError(f"This service does not go by that name; {setting} says which it goes by.")
            if given and len(met) < 1000:
                met.add(given)
        return await endpoint(call)

    return checked


def check_origin(endpoint: Endpoint) -> Endpoint:
    """Keeps a web page of another origin from sending what its visitor's browser sends unasked: a form, a POST."""

    async def checked(call: Call) -> Answer:
        origin = call.header(b"origin")
        if origin and origin.lower().partition(b"://")[2] != call.header(b"host").lower():
            raise ForbiddenError("This comes from a web page of another origin.")
        if call.header(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise ForbiddenError("This comes from a web page of another origin.")
        return await endpoint(call)

    return checked


def dispatch(table: RouteTable, keys: KeyRing) -> Endpoint:
    """Finds the route, checks the key, and calls the endpoint."""
    bad_keys = TokenBucket(BAD_KEYS_PER_SECOND)

    async def dispatched(call: Call) -> Answer:
        route = table.find(call)
        if route.needs is not None and keys:
            call.key = keys.find(_presented(call))
            if call.key is None:
                wait = bad_keys.take(1)
                if wait:
                    raise RateLimitedError("Too many wrong keys; wait.", headers={"retry-after": "1"})
                raise UnauthorizedError(
                    "Send a key in the header: Authorization: Bearer KEY.", headers={"www-authenticate": "Bearer"}
                )
            if route.needs not in call.key.scopes:
                raise ForbiddenError(f"The key {call.key.name!r} has not the scope {route.needs!r}.")
        return await route.endpoint(call)

    return dispatched


def _presented(call: Call) -> bytes:
    scheme, _, key = call.header(b"authorization").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""
