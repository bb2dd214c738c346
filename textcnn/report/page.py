"""The report as one page: no outside resources, light and dark, readable on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any


def report_page(figures: Mapping[str, Any]) -> str:
    """HTML of what `report_figures` gives."""
    template = (files("textcnn.report") / "report.html").read_text("utf-8")
    # in a script element nothing is markup but its end, and the old comment that may hide it
    data = json.dumps(figures, ensure_ascii=False).replace("<", "\\u003c").encode("utf-8", "replace").decode()
    title = escape(f"Report on {figures['model']}/{figures['version']}")
    before, between, after = template.replace("{{title}}", title).partition("{{data}}")
    assert between, "the template has a place for the data"
    return before + data + after
