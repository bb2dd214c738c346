from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


def test_the_page_and_the_same_as_json_are_written(run: Run, here: Path, model_folder: Path) -> None:
    ran = run("report", model_folder, "test.csv", "--json", "figures.json")
    assert ran.code == 0
    assert ran.out.startswith("accuracy 100.0% (")
    assert ran.err.endswith("wrote report.html and figures.json\n")
    figures = json.loads(Path("figures.json").read_text())
    assert (figures["model"], figures["rows"]) == ("tiny", 30)
    assert Path("report.html").read_text().startswith("<!doctype html>")


def test_the_data_may_be_left_unchecked(run: Run, here: Path, model_folder: Path) -> None:
    run("report", model_folder, "test.csv", "--json", "figures.json", "--no-check", "--output", "a.html")
    assert json.loads(Path("figures.json").read_text())["data"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "test.csv"], "there is no model at none"),
        (["MODEL", "none.csv"], "there is no such file"),
        (["MODEL", "test.csv", "--output", "no/such/report.html"], "cannot write no/such/report.html"),
    ],
)
def test_a_mistake_is_told(mistake: Any, here: Path, model_folder: Path, arguments: list[str], message: str) -> None:
    assert message in mistake("report", *(model_folder if part == "MODEL" else part for part in arguments))
