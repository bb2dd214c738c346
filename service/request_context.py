"""The id of the request in hand, for error bodies and log lines."""

from __future__ import annotations

from contextvars import ContextVar

# Empty outside a request. anyio copies it into worker threads.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
