from __future__ import annotations

import numpy as np
import pytest

from textcnn.calibration.fit import Validation
from textcnn.evaluation.reliability import (
    brier,
    calibration_error,
    error_by_chance,
    fit_and_measure,
    log_loss,
    reliability_bins,
)

CONFIDENCE = np.array([0.55, 0.6, 0.9, 0.95], np.float32)
RIGHT = np.array([True, False, True, True])


def test_bins_of_equal_width_hold_what_falls_into_them() -> None:
    low, high = reliability_bins(CONFIDENCE, RIGHT, bins=5)[0], reliability_bins(CONFIDENCE, RIGHT, bins=5)[-1]
    assert (low.texts, low.accuracy, high.texts, high.accuracy) == (1, 1.0, 2, 1.0)
    assert reliability_bins(np.ones(3, np.float32), np.ones(3, bool))[0].texts == 3


def test_adaptive_bins_hold_equally_many_texts() -> None:
    assert [part.texts for part in reliability_bins(CONFIDENCE, RIGHT, bins=2, adaptive=True)] == [2, 2]
    assert len(reliability_bins(CONFIDENCE, RIGHT, bins=15, adaptive=True)) == 4


def test_the_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    assert calibration_error(CONFIDENCE, RIGHT, bins=2) == pytest.approx(0.0)
    assert calibration_error(CONFIDENCE, RIGHT, bins=2, adaptive=True) == pytest.approx((0.075 + 0.075) / 2)
    assert calibration_error(np.ones(4, np.float32), np.zeros(4, bool)) == 1.0


def test_probabilities_that_hold_leave_only_chance() -> None:
    random = np.random.default_rng(1)
    confidence = random.uniform(0.3, 1, 2000).astype(np.float32)
    measured = [calibration_error(confidence, random.random(2000) < confidence) for _ in range(50)]
    assert error_by_chance(confidence) == pytest.approx(np.mean(measured), rel=0.1)


def test_brier_and_log_loss_are_those_of_the_definitions() -> None:
    probabilities, targets = np.array([[0.8, 0.2], [0.4, 0.6]], np.float32), np.array([0, 0])
    assert brier(probabilities, targets) == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2, rel=1e-6)
    assert log_loss(probabilities, targets) == pytest.approx(-np.log([0.8, 0.4]).mean(), rel=1e-6)
    assert log_loss(np.array([[0.0, 1.0]], np.float32), np.array([0])) == pytest.approx(-np.log(1e-12))


def test_before_and_after_are_of_the_same_texts() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 500)
    logits = (8 * (np.eye(2)[targets] + random.standard_normal((500, 2)))).astype(np.float32)
    calibration, figures = fit_and_measure(Validation(logits, targets, np.zeros(500, np.float32)), "temperature")
    assert (calibration.method, figures["method"], figures["texts"]) == ("temperature", "temperature", 500)
    for name in ("ece", "ece_adaptive", "brier", "loss"):
        assert figures["after"][name] < figures["before"][name]


def test_plain_softmax_is_kept_where_the_loss_of_other_texts_is_not_lower() -> None:
    random = np.random.default_rng(0)
    logits = random.standard_normal((40, 3)).astype(np.float32)
    odds = np.exp(logits).cumsum(1)
    targets = (odds < random.random((40, 1)) * odds[:, -1:]).sum(1)
    calibration, figures = fit_and_measure(Validation(logits, targets, np.zeros(40, np.float32)), "temperature")
    assert (calibration.method, figures["method"], figures["tried"]) == ("none", "none", "temperature")
    assert figures["tried_loss"] >= figures["before"]["loss"]
    assert figures["after"] == figures["before"]
    assert calibration.least, "label sets need no scaling"
