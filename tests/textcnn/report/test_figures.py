from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.data.readers import Examples
from textcnn.doctor.check import Checkup
from textcnn.errors import EngineError
from textcnn.report.figures import EVIDENCE_CHARACTERS, FEWEST_IN_A_CELL, marks, report_figures, summary_line
from textcnn.types import Explanation, Ngram

from .conftest import NASTY


def test_figures_are_those_of_an_evaluation_and_plain_values(
    model: TextClassifier, examples: Examples, checkup: Checkup
) -> None:
    told: list[float] = []
    report = report_figures(model, examples, examples.labels, checkup, tell=lambda what, share: told.append(share))
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["figures"] == model.evaluate(examples.texts, examples.labels)
    assert report["labels"] == ["billing", "delivery", "repair", "weather"]
    assert np.sum(report["confusion"]) == report["rows"] == 62
    assert sum(len(cell) for cell in report["cells"].values()) == 62
    assert {check["name"] for check in report["behaviour"]} >= {"typo", "negation"}
    assert report["data"]["rows"] == 62
    assert told == sorted(told)
    assert summary_line(report).startswith("accuracy ")
    lines = summary_line({"tasks": {"topic": report, "tone": report}}).splitlines()
    assert lines == [f"topic: {summary_line(report)}", f"tone: {summary_line(report)}"]


def test_the_worst_mistakes_come_with_what_spoke_for_them(model: TextClassifier, examples: Examples) -> None:
    worst = report_figures(model, examples, examples.labels, None)["worst"]
    assert [error["probability"] for error in worst] == sorted((e["probability"] for e in worst), reverse=True)
    assert all(error["label"] != error["predicted"] for error in worst)
    (nasty,) = (error for error in worst if error["text"] == NASTY)
    shown = [NASTY[mark["start"] : mark["end"]] for mark in nasty["evidence"]]
    assert any("parcel" in ngram for ngram in shown)


def test_filters_are_the_most_influential_ones_with_what_excites_them(
    model: TextClassifier, examples: Examples
) -> None:
    filters = report_figures(model, examples, examples.labels, None)["filters"]
    found = model.filters(examples.texts, top_n=6)
    assert filters["count"] == len(found) == 16
    assert [one["number"] for one in filters["shown"]] == [one.number for one in found]
    assert filters["shown"][0]["ngrams"][0]["text"] == found[0].examples[0].text
    assert filters["dead"] == sorted(one.number for one in found if one.dead)


def test_n_grams_of_each_label_are_those_of_the_model(model: TextClassifier, examples: Examples) -> None:
    found = report_figures(model, examples, examples.labels, None)["ngrams"]
    (expected, *_) = model.ngrams(top_n=12)
    assert [one["label"] for one in found] == list(model.labels)
    assert found[0]["for"][0] == {
        "text": " ".join(expected.speak_for[0].tokens), "weight": expected.speak_for[0].weight
    }  # fmt: skip
    assert all(one["weight"] < 0 for one in found[0]["against"])


def test_a_network_without_filters_says_why(
    model: TextClassifier, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(texts: list[str], *, top_n: int) -> None:
        raise EngineError("filters are shown for one convolution only: it has none")

    monkeypatch.setattr(model, "filters", none)
    report = report_figures(model, examples, examples.labels, None)
    assert report["filters"] == {"why_not": "filters are shown for one convolution only: it has none"}


def test_a_huge_text_does_not_make_a_huge_report(model: TextClassifier, examples: Examples) -> None:
    huge = dataclasses.replace(examples, texts=["where is my parcel " * 2_000] * len(examples))
    report = report_figures(model, huge, huge.labels, None)
    assert len(json.dumps(report)) < 500_000
    assert report["worst"][0]["characters"] == 38_000
    assert len(report["worst"][0]["text"]) == EVIDENCE_CHARACTERS


def test_many_cells_share_the_room_for_texts(
    model: TextClassifier, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = report_figures(model, examples, examples.labels, None)["cells"]
    assert max(map(len, few.values())) > FEWEST_IN_A_CELL
    monkeypatch.setattr("textcnn.report.figures.MOST_IN_CELLS", 1)
    many = report_figures(model, examples, examples.labels, None)["cells"]
    assert many.keys() == few.keys()
    assert max(map(len, many.values())) == FEWEST_IN_A_CELL


def test_marks_do_not_overlap_and_the_stronger_one_stays() -> None:
    ngrams = (Ngram(0, 5, "", 0.5), Ngram(3, 9, "", -2.0), Ngram(9, 12, "", 1.0), Ngram(4, 4, "", 9.0))
    explanation = Explanation("a", 0.9, 1.0, 0.0, ngrams, 0.0, "ngrams", True)
    assert marks(explanation) == [{"start": 3, "end": 9, "adds": -2.0}, {"start": 9, "end": 12, "adds": 1.0}]


def test_one_text_is_enough(model: TextClassifier, examples: Examples) -> None:
    one = dataclasses.replace(
        examples,
        texts=examples.texts[:1], labels=examples.labels[:1],
        row_numbers=examples.row_numbers[:1], table=examples.table[:1],
    )  # fmt: skip
    assert report_figures(model, one, one.labels, None)["rows"] == 1


def test_a_model_that_knows_none_of_the_labels_has_a_report(model: TextClassifier, examples: Examples) -> None:
    strange = dataclasses.replace(examples, labels=["weather"] * len(examples))
    report = report_figures(model, strange, strange.labels, None)
    assert report["figures"]["accuracy"] == 0.0
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize("text", ["", "\ud800", "one"])
def test_odd_texts_do_no_harm(model: TextClassifier, examples: Examples, text: str) -> None:
    odd = dataclasses.replace(examples, texts=[text] * len(examples))
    report_figures(model, odd, odd.labels, None)
