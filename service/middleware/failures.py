"""Turn an error that nobody expected into the constant 500 body, and say in the log where it happened."""

from __future__ import annotations

import logging
import traceback

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import internal_error

log = logging.getLogger(__name__)


class FailuresMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception as error:
            log_failure(error)
            if started:
                raise  # half an answer is out: only breaking the connection tells the client so
            await internal_error()(scope, receive, send)


def log_failure(error: Exception) -> None:
    """Type and place. The message only at level debug, since it may quote the text that was classified."""
    frames = traceback.extract_tb(error.__traceback__)
    fields = {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    log.error("request failed", extra={"fields": fields}, exc_info=log.isEnabledFor(logging.DEBUG))
