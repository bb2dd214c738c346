"""A path and what answers there; and the table of all of them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from service.answer import Answer
from service.call import Call
from service.errors import MethodNotAllowedError, NotFoundError
from service.keys import KeyScope
from service.schemas import ErrorResponse

Endpoint = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Route:
    """`path` may have {names}, each for one segment. `needs` is the scope of the key, None where none is asked for.
    `streams`: the request body may go on for ever.

    The rest is for the documentation: `answer` is the model of a 200 and `answer_type` its media type, `errors` the
    other statuses and `error` the model of theirs, `parameters` and `body` OpenAPI as it is; the endpoint's docstring
    describes it. Without a `tag` it is not documented.
    """

    method: str
    path: str
    endpoint: Endpoint
    needs: KeyScope | None = None
    streams: bool = False
    answer: type | None = None
    answer_type: str = "application/json"
    errors: tuple[int, ...] = ()
    error: type = ErrorResponse
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] | None = None
    tag: str = ""


class RouteTable:
    """Finds the route of a call; without names that costs one look-up. Who finds none is told of the `main` one."""

    def __init__(self, routes: Iterable[Route], main: str) -> None:
        self.routes = list(routes)
        self._main = main
        self._exact: dict[str, dict[str, Route]] = {}
        self._templates: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        templates: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            by_method = (templates if "{" in route.path else self._exact).setdefault(route.path, {})
            assert route.method not in by_method, f"{route.method} {route.path} is there twice"
            by_method[route.method] = route
            if route.method == "GET":
                by_method.setdefault("HEAD", route)  # the server sends no body then
        for path, by_method in templates.items():
            pattern = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
            self._templates.append((re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern)), by_method))

    def find(self, call: Call) -> Route:
        """Sets `call.template` and `call.parameters`. Raises NotFoundError or MethodNotAllowedError."""
        by_method = self._exact.get(call.path) or self._match(call)
        if by_method is None:
            raise NotFoundError(f"There is nothing at this path. The main one is {self._main}.")
        route = by_method.get(call.method)
        if route is None:
            call.template = next(iter(by_method.values())).path
            allowed = ", ".join(sorted(by_method))
            raise MethodNotAllowedError(f"This path takes {allowed} only.", headers={"allow": allowed})
        call.template = route.path
        return route

    def _match(self, call: Call) -> dict[str, Route] | None:
        for pattern, by_method in self._templates:
            if found := pattern.fullmatch(call.path):
                call.parameters = found.groupdict()
                return by_method
        return None
