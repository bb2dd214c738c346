"""A route that FastAPI documents and does not otherwise touch."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.schemas import ErrorResponse


class LeanRoute(APIRoute):
    """The endpoint gets the request and returns the response itself.

    FastAPI would solve dependencies, open two exit stacks and validate both ways: more time than the model needs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint = self.endpoint

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = app


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the error answers of a route."""
    return {status: {"model": ErrorResponse} for status in statuses}
