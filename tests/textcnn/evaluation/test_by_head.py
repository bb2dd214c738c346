from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcnn.data.label_rows import LabelRows
from textcnn.data.labels import LabelSet
from textcnn.errors import DataError
from textcnn.evaluation.by_head import evaluate_rows, level_accuracies, scale_figures

MULTI_LABEL: dict[str, Any] = {"type": "multi_label", "thresholds": [0.5, 0.7]}
NAMES = LabelSet(("a", "b"))
# given: a; a b; none; b
PROBABILITIES = np.array([[0.5, 0.6], [0.9, 0.7], [0.4, 0.6], [0.1, 0.8]], np.float32)


def several(*rows: tuple[str, ...]) -> LabelRows:
    return LabelRows(rows, many=True)


def test_of_several_labels_exactly_all_count_as_right() -> None:
    figures = evaluate_rows(several(("a",), ("a",), (), ("b",)), PROBABILITIES, NAMES, MULTI_LABEL)
    assert (figures["texts"], figures["accuracy"], figures["unknown_labels"]) == (4, 0.75, 0)
    # a text without labels that got none is right in full; of "a b" for "a" it is 2 * 1 / (2 + 1)
    assert figures["samples_f1"] == pytest.approx((1 + 2 / 3 + 1 + 1) / 4)
    assert figures["labels"]["a"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "texts": 2, "threshold": 0.5}
    of_b = {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "texts": 1, "threshold": pytest.approx(0.7)}
    assert figures["labels"]["b"] == of_b
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["micro_f1"] == pytest.approx(2 * 3 / (4 + 3)), "four were given, three are the texts' own"
    of_truth = [0.5, 1 - 0.6, 0.9, 1 - 0.7, 1 - 0.4, 1 - 0.6, 1 - 0.1, 0.8]
    assert figures["loss"] == pytest.approx(-np.log(of_truth).mean(), rel=1e-5)
    assert figures["roc_auc"] == pytest.approx((1 + 1) / 2), "each label ranks its own texts above the others"


def test_the_calibration_error_of_several_labels_is_that_of_each_of_their_probabilities() -> None:
    sure = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    assert evaluate_rows(several(("a",), ("a",)), sure, NAMES, MULTI_LABEL)["ece"] == 0
    assert evaluate_rows(several(("b",), ("b",)), sure, NAMES, MULTI_LABEL)["ece"] == 1
    assert evaluate_rows(several(("a",), ("b",)), sure, NAMES, MULTI_LABEL)["ece"] == pytest.approx(0.5)


def test_a_label_beside_the_known_ones_makes_its_text_wrong_and_counts_in_the_mean() -> None:
    figures = evaluate_rows(several(("a", "new"), ("a", "b")), PROBABILITIES[:2], NAMES, MULTI_LABEL)
    assert (figures["accuracy"], figures["unknown_labels"]) == (0.5, 1)
    assert figures["samples_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert list(figures["labels"]) == ["a", "b"]


def test_where_no_text_has_a_known_label_there_is_no_f1_and_no_area() -> None:
    figures = evaluate_rows(several(("new",), ()), PROBABILITIES[:2], NAMES, MULTI_LABEL)
    assert (figures["macro_f1"], figures["roc_auc"], figures["average_precision"]) == (0.0, None, None)


def test_no_row_cannot_be_evaluated() -> None:
    with pytest.raises(DataError, match="no row to evaluate"):
        evaluate_rows(several(), PROBABILITIES[:0], NAMES, MULTI_LABEL)


def test_each_task_is_measured_on_the_texts_that_have_a_label_of_it() -> None:
    names = LabelSet(("t=x", "t=y", "u=p", "u=q"))
    head = {"type": "multi_task", "tasks": {"t": 2, "u": 2}}
    rows = LabelRows((("x", "p"), ("", "q"), ("y", ""), ("x", "q")), tasks=("t", "u"))
    # t: x x x x; u: p p q q
    found = np.array([[0.8, 0.2, 0.9, 0.1]] * 2 + [[0.8, 0.2, 0.1, 0.9]] * 2, np.float32)
    figures = evaluate_rows(rows, found, names, head)
    assert [figures["tasks"][task]["texts"] for task in ("t", "u")] == [3, 3]
    assert [figures["tasks"][task]["accuracy"] for task in ("t", "u")] == pytest.approx([2 / 3, 2 / 3])
    assert figures["texts"] == 4
    assert figures["accuracy"] == pytest.approx(2 / 3)
    of_t, of_u = -np.log([0.8, 0.2, 0.8]).mean(), -np.log([0.9, 0.1, 0.9]).mean()
    assert figures["loss"] == pytest.approx((of_t + of_u) / 2, rel=1e-5)
    assert figures["macro_f1"] == np.mean([figures["tasks"][task]["macro_f1"] for task in ("t", "u")])


def test_unknown_labels_of_tasks_are_counted_together() -> None:
    names = LabelSet(("t=x", "t=y", "u=p", "u=q"))
    rows = LabelRows((("x", "new"), ("newer", "newest")), tasks=("t", "u"))
    figures = evaluate_rows(rows, np.full((2, 4), 0.5, np.float32), names, {"type": "multi_task"})
    assert figures["unknown_labels"] == 3
    assert figures["tasks"]["u"]["loss"] is None
    assert figures["loss"] == figures["tasks"]["t"]["loss"], "a task without one does not count"
    unknown = LabelRows((("new", "new"),), tasks=("t", "u"))
    assert evaluate_rows(unknown, np.full((1, 4), 0.5, np.float32), names, {"type": "multi_task"})["loss"] is None


def test_a_task_without_a_column_is_named() -> None:
    rows = LabelRows((("x",),), tasks=("t",))
    names = LabelSet(("t=x", "t=y", "u=p", "u=q"))
    with pytest.raises(DataError, match="no labels of task 'u'; found t"):
        evaluate_rows(rows, np.full((1, 4), 0.5, np.float32), names, {"type": "multi_task"})


def test_a_level_is_right_where_the_node_with_most_probability_stands_above_the_label() -> None:
    names, head = ("n/d", "n/m", "h", "h/x/y"), {"separator": "/", "levels": [[0, 0, 1, 1], [0, 1, 2, 3]]}
    found = np.array(
        [[0.3, 0.3, 0.4, 0.0], [0.1, 0.2, 0.3, 0.4], [0.6, 0.0, 0.4, 0.0], [0.1, 0.1, 0.1, 0.7]], np.float32
    )
    # level 1: n though h is the most probable path; h; n; h. Level 2: h; h/x; n/d; h/x
    assert level_accuracies(["n/m", "h", "h", "h/x/y"], found, names, head) == [0.75, 0.25]
    assert level_accuracies(["n/d"], found[2:3], names, head) == [1.0, 1.0]


def test_ordered_labels_are_missed_by_steps() -> None:
    found = np.eye(4, dtype=np.float32)[[0, 1, 3, 3]]
    figures = scale_figures(["one", "three", "one", "new"], found, ("one", "two", "three", "four"))
    assert figures is not None
    assert figures["mean_distance"] == pytest.approx((0 + 1 + 3) / 3), "a label off the scale has no place on it"
    assert figures["within_one"] == pytest.approx(2 / 3)
    two_steps = scale_figures(["one"], np.eye(4, dtype=np.float32)[[2]], ("one", "two", "three", "four"))
    assert two_steps is not None and two_steps["within_one"] == 0
    # 1 - sum of squared steps over the sum that chance gives: truth 0 0 2 by answers 0 1 3
    by_chance = sum((true - said) ** 2 for true in (0, 2, 0) for said in (0, 1, 3)) / 3
    assert figures["quadratic_kappa"] == pytest.approx(1 - 10 / by_chance)


def test_kappa_of_one_label_that_is_always_right_is_nothing_more_than_chance() -> None:
    figures = scale_figures(["one", "one"], np.eye(2, dtype=np.float32)[[0, 0]], ("one", "two"))
    assert figures == {"mean_distance": 0.0, "within_one": 1.0, "quadratic_kappa": 0.0}
    assert scale_figures(["new"], np.eye(2, dtype=np.float32)[[0]], ("one", "two")) is None
