"""What goes back to the client. Lighter than Starlette's Response, for the hot path sends a million of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import orjson

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
SendWhole = Callable[[int, Headers, bytes], Awaitable[None]]  # status, headers, body

JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")


class Answer:
    """A status, headers, and a body that is all there."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, body: bytes, status: int = 200, headers: Headers | None = None) -> None:
        self.body = body
        self.status = status
        self.headers: Headers = headers if headers is not None else []

    async def __call__(self, send: Send, send_whole: SendWhole | None = None) -> None:
        """By `send_whole`, where the server has it: what goes out in one piece costs half as much."""
        headers = [*self.headers, (b"content-length", b"%d" % len(self.body))]
        if send_whole is not None:
            await send_whole(self.status, headers, self.body)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Stream(Answer):
    """A body that comes piece by piece. The next piece is made only when the client has taken the last."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: AsyncGenerator[bytes], headers: Headers) -> None:
        super().__init__(b"", 200, headers)
        self.pieces = pieces

    async def __call__(self, send: Send, send_whole: SendWhole | None = None) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        async with aclosing(self.pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def json_answer(content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """`content` as JSON bytes."""
    more = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return Answer(orjson.dumps(content), status, [JSON, *more])
