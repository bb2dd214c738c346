from __future__ import annotations

import numpy as np
import pytest

from textcnn.evaluation.curves import POINTS, precision_recall, risk_coverage, roc

NAMES = ["a", "b", "c"]


def test_a_perfect_ranking_has_the_area_one() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.2, 0.8, 0]], np.float32)
    targets = np.array([0, 0, 1])
    for curves in (roc(probabilities, targets, NAMES), precision_recall(probabilities, targets, NAMES)):
        assert list(curves) == ["a", "b"], "c does not occur"
        assert [curve["area"] for curve in curves.values()] == [1.0, 1.0]


def test_curves_are_thinned_and_keep_their_ends() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 5000)
    probabilities = random.random((5000, 2)).astype(np.float32)
    curve = roc(probabilities, targets, NAMES[:2])["a"]
    assert len(curve["x"]) <= POINTS
    assert (curve["x"][0], curve["y"][0], curve["x"][-1], curve["y"][-1]) == (0, 0, 1, 1)


def test_risk_is_that_of_the_most_confident_answers() -> None:
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.7], np.float32), np.array([False, True, True, True]))
    assert curve["x"] == [0.25, 0.5, 0.75, 1.0]
    assert curve["y"] == [0, 0, 0, 0.25]
    assert curve["threshold"] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert curve["area"] == pytest.approx(0.0625)
