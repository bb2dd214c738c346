"""What the report measures of each head."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.data.readers import Examples, ReadOptions, read_examples
from textcnn.errors import DataError
from textcnn.report.figures import report_figures
from textcnn.report.questions import NOTHING

from ...conftest import TINY, tiny_corpus

TEXTS, TOPICS = tiny_corpus(90)
MANY = ["billing|shop" if topic == "billing" else topic for topic in TOPICS]
TASKS = {
    "topic": [topic if row % 7 else "" for row, topic in enumerate(TOPICS)],
    "shop": ["no" if topic == "repair" else "yes" for topic in TOPICS],
}


def fitted(head: dict[str, Any], labels: Any, **sections: Any) -> TextClassifier:
    config = {**TINY, "model": {**TINY["model"], "head": head}, **sections}
    return TextClassifier(config).fit(TEXTS, labels)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    """The texts with a column of their own, and of each task; the last label is unknown to every model."""
    with open(tmp_path / "data.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "topic", "shop", "place"])
        many = [*MANY[:-1], "weather"]
        for row, values in enumerate(zip(TEXTS, many, TASKS["topic"], TASKS["shop"], strict=True)):
            writer.writerow([*values, "north" if row % 2 else "south"])
    return read_examples(tmp_path / "data.csv", ReadOptions(label_column="label"))


def test_several_labels_are_measured_as_evaluate_does(examples: Examples) -> None:
    model = fitted({"type": "multi_label"}, MANY)
    report = report_figures(model, examples, examples.labels, None)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    measured = model.evaluate(examples.texts, examples.labels)
    assert {key: report["figures"][key] for key in measured} == measured
    assert 0.0 <= measured["samples_f1"] <= 1.0 and 0.0 <= measured["ece"] <= 1.0
    assert report["labels"] == [*model.labels, "weather", NOTHING]
    assert report["risk_coverage"] is None
    assert any("calibration" in note for note in report["notes"])
    assert set(report["slices"]) == {"length in tokens", "topic", "shop", "place"}


def test_a_missed_label_meets_those_given_wrongly(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: three texts, of which one is right, one misses a label, and one has another in its place."""
    model = fitted({"type": "multi_label"}, MANY)
    names = model.labels
    given = [("billing", "shop"), ("billing",), ("repair",)]
    probabilities = np.array([[0.9 if name in row else 0.3 for name in names] for row in given], np.float32)
    monkeypatch.setattr(TextClassifier, "predict_proba", lambda self, texts: probabilities[: len(texts)])
    few = read_of(examples, 3)
    report = report_figures(model, few, [("billing", "shop"), ("billing", "shop"), ("delivery",)], None)
    place = {name: i for i, name in enumerate(report["labels"])}
    cells = {
        ("billing", "billing"): 2,
        ("shop", "shop"): 1,
        ("shop", NOTHING): 1,
        ("delivery", "repair"): 1,
    }
    expected = np.zeros((len(place), len(place)), int)
    for (true, said), count in cells.items():
        expected[place[true], place[said]] = count
    np.testing.assert_array_equal(report["confusion"], expected)
    about = [(error["about"], error["missed"]) for error in report["worst"]]
    assert sorted(about) == [("repair", False), ("shop", True)]


def read_of(examples: Examples, count: int) -> Examples:
    return replace(
        examples,
        texts=examples.texts[:count],
        labels=examples.labels[:count],
        row_numbers=examples.row_numbers[:count],
        table=examples.table.slice(0, count),
    )


def test_tasks_are_measured_on_the_texts_that_have_their_label(examples: Examples) -> None:
    model = fitted({"type": "multi_task"}, TASKS, data={"task_columns": ["topic", "shop"]})
    told: list[float] = []
    report = report_figures(model, examples, TASKS, None, tell=lambda what, share: told.append(share))
    assert told == sorted(told)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    measured = model.evaluate(examples.texts, TASKS)["tasks"]
    assert {task: own["figures"] for task, own in report["tasks"].items()} == measured
    topic = report["tasks"]["topic"]
    assert np.sum(topic["confusion"]) == topic["figures"]["texts"] == sum(map(bool, TASKS["topic"]))
    assert {error["row"] for error in topic["worst"]} <= {row + 2 for row in range(90) if row % 7}
    assert "topic" not in topic["slices"] and "place" in topic["slices"]


def test_a_task_without_labels_is_told(examples: Examples) -> None:
    model = fitted({"type": "multi_task"}, TASKS, data={"task_columns": ["topic", "shop"]})
    with pytest.raises(DataError, match="no row has a label of task 'topic'"):
        report_figures(model, examples, {"topic": [""] * 90, "shop": TASKS["shop"]}, None)


def test_ordered_labels_say_by_how_many_steps_they_are_missed(examples: Examples) -> None:
    model = fitted({"type": "ordinal"}, TOPICS, data={"label_order": ["billing", "repair", "delivery"]})
    scale = report_figures(model, examples, TOPICS, None)["figures"]["scale"]
    places = np.array([model.labels.index(label) for label in TOPICS])
    steps = np.abs(places - [model.labels.index(label) for label in model.predict(TEXTS)])
    assert scale["mean_distance"] == pytest.approx(steps.mean())
    assert scale["within_one"] == pytest.approx((steps <= 1).mean())


def test_paths_have_the_accuracy_of_each_level(examples: Examples) -> None:
    paths = [f"shop/{topic}" if topic != "repair" else topic for topic in TOPICS]
    model = fitted({"type": "hierarchy"}, paths)
    assert report_figures(model, examples, paths, None)["figures"]["levels"] == model.evaluate(TEXTS, paths)["levels"]
