from __future__ import annotations

import numpy as np
import pytest

from textcnn.answers import best_thresholds, decide, predictions, probabilities
from textcnn.calibration.calibration import Calibration
from textcnn.types import LabelScore

LOGITS = np.array([[2.0, -1.0, 0.0], [-50.0, 50.0, -3.0]], np.float32)
MANY = {"type": "multi_label", "thresholds": [0.9, 0.2, 0.5]}
TASKS = {"type": "multi_task", "tasks": {"a": 1, "b": 2}}


def test_probabilities_are_of_one_softmax_of_one_a_task_or_of_a_sigmoid_each() -> None:
    exact = np.exp(LOGITS.astype(np.float64))
    np.testing.assert_allclose(
        probabilities(LOGITS, {"type": "ordinal"}, Calibration()), exact / exact.sum(1, keepdims=True), atol=1e-7
    )
    np.testing.assert_allclose(probabilities(LOGITS, MANY, Calibration()), 1 / (1 + 1 / exact), atol=1e-7)
    by_task = probabilities(LOGITS, TASKS, Calibration())
    np.testing.assert_allclose(by_task[:, 0], 1.0)
    np.testing.assert_allclose(by_task[:, 1:], exact[:, 1:] / exact[:, 1:].sum(1, keepdims=True), rtol=1e-6)


def test_one_label_a_text_is_calibrated() -> None:
    warm = Calibration(method="temperature", temperature=2.0)
    exact = np.exp(LOGITS.astype(np.float64) / 2)
    found = probabilities(LOGITS, {"type": "single_label"}, warm)
    np.testing.assert_allclose(found, exact / exact.sum(1, keepdims=True), atol=1e-7)


def test_decisions() -> None:
    found = np.array([[0.8, 0.3, 0.5], [0.95, 0.1, 0.1]], np.float32)
    assert decide(found, ["x", "y", "z"], {"type": "ordinal"}) == ["x", "x"]
    assert decide(found, ["x", "y", "z"], MANY) == [("y", "z"), ("x",)]
    assert decide(found, ["a=x", "b=y", "b=z"], TASKS) == [{"a": "x", "b": "z"}, {"a": "x", "b": "y"}]


def test_predictions_carry_the_labels_over_their_thresholds_best_first_perhaps_none() -> None:
    found = np.array([[0.8, 0.3, 0.5], [0.5, 0.1, 0.1]], np.float32)
    first, second = predictions(found, ["x", "y", "z"], MANY, 1)
    assert first.labels == (LabelScore("z", 0.5), LabelScore("y", found[0, 1].item()))
    assert first.label == "x"
    assert second.labels == ()


def test_a_threshold_of_zero_gives_its_label_to_every_text() -> None:
    found, head = np.zeros((1, 1), np.float32), {"type": "multi_label", "thresholds": [0.0]}
    assert decide(found, ["x"], head) == [("x",)]
    assert predictions(found, ["x"], head, 1)[0].labels == (LabelScore("x", 0.0),)


def test_thresholds_give_each_label_its_best_f1() -> None:
    found = np.array([[0.9, 0.6], [0.7, 0.5], [0.4, 0.4], [0.2, 0.1], [0.1, 0.0]], np.float32)
    target = np.array([[1, 0], [1, 1], [1, 0], [0, 0], [0, 0]], np.float32)
    first, second = best_thresholds(found, target)
    assert first == pytest.approx(0.3), "half way between the last right and the first wrong"
    assert second == 0.5, "one text says too little"


def test_a_threshold_takes_all_texts_of_one_probability_or_none() -> None:
    found = np.array([[1.0]] * 6 + [[0.2], [0.1]], np.float32)
    target = np.array([[1], [1], [1], [0], [0], [0], [1], [0]], np.float32)
    (chosen,) = best_thresholds(found, target)
    assert chosen == pytest.approx(0.15), "with 0.2 four of seven are right: F1 8 / 11, and 2 / 3 with the six alone"
