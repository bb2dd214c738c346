"""JSON lines on standard error. A text that was sent to us is never among the fields."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from service.request_context import REQUEST_ID


class JsonFormatter(logging.Formatter):
    """One JSON object a record; `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # A log call must not fail: what JSON has no form for is written as its repr.
        return orjson.dumps(line, default=repr).decode()


def configure(level: str) -> None:
    """Send every logger of this process through the formatter."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # We log start, readiness and end ourselves, with what an operator needs to know.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
