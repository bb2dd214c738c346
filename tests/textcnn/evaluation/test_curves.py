from __future__ import annotations

import numpy as np
import pytest

from textcnn.evaluation.curves import POINTS, precision_recall, risk_coverage, roc

NAMES = ["a", "b", "c"]


def test_a_perfect_ranking_has_the_area_one() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.2, 0.8, 0]], np.float32)
    truth = np.eye(3, dtype=bool)[[0, 0, 1]]
    for curves in (roc(probabilities, truth, NAMES), precision_recall(probabilities, truth, NAMES)):
        assert list(curves) == ["a", "b"], "c does not occur"
        assert [curve["area"] for curve in curves.values()] == [1.0, 1.0]


def test_curves_are_thinned_and_keep_their_ends() -> None:
    random = np.random.default_rng(0)
    truth = np.eye(2, dtype=bool)[random.integers(0, 2, 5000)]
    probabilities = random.random((5000, 2)).astype(np.float32)
    curve = roc(probabilities, truth, NAMES[:2])["a"]
    assert len(curve["x"]) <= POINTS
    assert (curve["x"][0], curve["y"][0], curve["x"][-1], curve["y"][-1]) == (0, 0, 1, 1)


def test_points_of_a_curve_are_those_of_its_definition() -> None:
    """Three texts with the label at 0.9, 0.6 and 0.2, two without at 0.7 and 0.1."""
    probabilities = np.array([[0.9], [0.7], [0.6], [0.2], [0.1]], np.float32)
    truth = np.array([[True], [False], [True], [True], [False]])
    curve = roc(probabilities, truth, ["a"])["a"]
    assert list(zip(curve["x"], curve["y"], strict=True)) == [
        (0, 0), (0, pytest.approx(1 / 3)), (0.5, pytest.approx(1 / 3)), (0.5, 1), (1, 1),
    ]  # fmt: skip
    assert curve["area"] == pytest.approx(4 / 6), "of the six pairs four are ranked right"
    curve = precision_recall(probabilities, truth, ["a"])["a"]
    assert (curve["x"][0], curve["y"][0], curve["x"][-1]) == (0, 1, 1), "from the strictest threshold on"
    assert curve["area"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_risk_is_that_of_the_most_confident_answers() -> None:
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.7], np.float32), np.array([False, True, True, True]))
    assert curve["x"] == [0.25, 0.5, 0.75, 1.0]
    assert curve["y"] == [0, 0, 0, 0.25]
    assert curve["threshold"] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert curve["area"] == pytest.approx(0.0625)
