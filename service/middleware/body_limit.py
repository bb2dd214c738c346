"""Stop reading a body that is too long, whether it says so in its header or goes on without end."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLargeError


class BodyLimitMiddleware:
    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        received = 0

        async def receive_up_to_limit() -> Message:
            nonlocal received
            # The declared length is looked at first, so that a client who waits for "100 Continue" sends nothing.
            if declared.isdigit() and int(declared) > self.max_bytes:
                raise self.too_large()
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_bytes:
                    raise self.too_large()
            return message

        await self.app(scope, receive_up_to_limit, send)

    def too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"The body is longer than {self.max_bytes:,} bytes; send several smaller requests.")
