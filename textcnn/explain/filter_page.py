"""The filters of a model as one page: no outside resources, search, light and dark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any


def filter_page(report: Mapping[str, Any]) -> str:
    """HTML of `textcnn inspect --filters --json`: model, version, labels, texts, filters."""
    template = (files("textcnn.explain") / "filter_page.html").read_text("utf-8")
    # in a script element nothing is markup but its end, and the old comment that may hide it
    data = json.dumps(report, ensure_ascii=False).replace("<", "\\u003c")
    title = escape(f"Filters of {report['model']}/{report['version']}")
    before, between, after = template.replace("{{title}}", title).partition("{{data}}")
    return before + (data if between else "") + after
