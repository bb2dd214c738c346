from __future__ import annotations

import json
import logging
import sys

from service.logs import JsonFormatter
from service.request_context import REQUEST_ID


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("service.test").makeRecord("service.test", 30, "", 0, message, args, None, extra=extra)


def test_a_record_is_one_line_of_json_whatever_it_says():
    line = JsonFormatter().format(record("said %r", 'two\nlines "quoted"', fields={"model": "m", "path": object}))
    assert "\n" not in line
    content = json.loads(line)
    assert content["message"].startswith("said 'two")
    assert (content["level"], content["model"]) == ("warning", "m")
    assert "request_id" not in content


def test_a_record_within_a_request_has_its_id():
    token = REQUEST_ID.set("abc")
    try:
        assert json.loads(JsonFormatter().format(record("hello")))["request_id"] == "abc"
    finally:
        REQUEST_ID.reset(token)


def test_a_traceback_is_one_field():
    try:
        raise ValueError("no")
    except ValueError:
        entry = record("failed")
        entry.exc_info = sys.exc_info()
    assert "ValueError: no" in json.loads(JsonFormatter().format(entry))["exception"]
