from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcnn.calibration.calibration import COVERAGES, Calibration, Curve, familiar_score, unknown_share
from textcnn.errors import ArtifactError, DataError
from textcnn.types import Floats

CURVE = Curve(before=(0.0, 0.5, 1.0), after=(0.1, 0.3, 0.9))
METHODS = [
    Calibration(),
    Calibration(method="temperature", temperature=2.5),
    Calibration(method="temperature", temperature=0.5, doubt=0.1),
    Calibration(method="vector", scale=(1.0, 0.5, 2.0), shift=(0.0, 0.25, -0.5)),
    Calibration(method="isotonic", curves=(CURVE, CURVE, CURVE)),
]


def logits(rows: int = 40, seed: int = 0) -> Floats:
    return (4 * np.random.default_rng(seed).standard_normal((rows, 3))).astype(np.float32)


@pytest.mark.parametrize("calibration", METHODS, ids=lambda c: f"{c.method}-{c.doubt}")
def test_a_text_has_the_same_probabilities_alone_and_in_any_batch(calibration: Calibration) -> None:
    given = logits()
    together = calibration.probabilities(given)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.sum(1), 1.0, rtol=1e-6)
    for row in range(len(given)):
        np.testing.assert_array_equal(calibration.probabilities(given[row : row + 1])[0], together[row])


@pytest.mark.parametrize("calibration", METHODS, ids=lambda c: f"{c.method}-{c.doubt}")
def test_json_brings_back_the_same(calibration: Calibration) -> None:
    assert Calibration.from_json(calibration.to_json(), classes=3) == calibration


def test_the_definitions_hold() -> None:
    given = logits()
    exact = given.astype(np.float64)

    def softmax(values: Any) -> Any:
        return np.exp(values) / np.exp(values).sum(1, keepdims=True)

    plain, warm, doubtful, vector, isotonic = (calibration.probabilities(given) for calibration in METHODS)
    np.testing.assert_allclose(plain, softmax(exact), rtol=1e-6)
    np.testing.assert_allclose(warm, softmax(exact / 2.5), rtol=1e-6)
    np.testing.assert_allclose(doubtful, 0.9 * softmax(exact / 0.5) + 0.1 / 3, rtol=1e-6)
    np.testing.assert_allclose(vector, softmax(exact * [1, 0.5, 2] + [0, 0.25, -0.5]), rtol=1e-6)
    mapped = np.interp(softmax(exact), CURVE.before, CURVE.after)
    np.testing.assert_allclose(isotonic, mapped / mapped.sum(1, keepdims=True), rtol=1e-6)


def test_where_every_curve_says_nothing_the_network_keeps_its_answer() -> None:
    never = Curve(before=(0.0, 1.0), after=(0.0, 0.0))
    given = logits()
    calibration = Calibration(method="isotonic", curves=(never, never, never))
    np.testing.assert_array_equal(calibration.probabilities(given), Calibration().probabilities(given))


@given(st.floats(0.02, 50))
def test_temperature_keeps_the_order_of_labels(temperature: float) -> None:
    given = logits()
    calibration = Calibration(method="temperature", temperature=temperature)
    np.testing.assert_array_equal(calibration.probabilities(given).argmax(1), given.argmax(1))


def test_large_logits_are_taken() -> None:
    large = np.array([[1e4, 0.0], [-1e4, -1e4]], np.float32)
    np.testing.assert_allclose(Calibration().probabilities(large), [[1, 0], [0.5, 0.5]])


def test_it_abstains_below_the_threshold_of_the_best_label() -> None:
    best, probability = np.array([0, 1, 1]), np.array([0.6, 0.6, 0.8], np.float32)
    assert Calibration().abstains(best, probability).tolist() == [False, False, False]
    calibration = Calibration(thresholds=(0.5, 0.7, 1.01))
    assert calibration.abstains(best, probability).tolist() == [False, True, False]
    assert calibration.abstains(np.array([2]), np.array([1.0], np.float32)).tolist() == [True]
    assert calibration.abstains(best, probability, at_least=0.75).tolist() == [True, True, False]


def test_changed_thresholds_hold_where_the_old_ones_have_been_asked() -> None:
    calibration = Calibration(method="temperature", temperature=2.0, thresholds=(0.5, 0.5))
    best, probability = np.zeros(1, np.int64), np.array([0.7], np.float32)
    assert not calibration.abstains(best, probability)[0]
    changed = calibration.changed(thresholds=(0.9, 0.9))
    assert changed.abstains(best, probability)[0]
    assert changed == Calibration(method="temperature", temperature=2.0, thresholds=(0.9, 0.9))


def test_a_label_set_holds_what_is_probable_enough_for_the_coverage() -> None:
    calibration = Calibration(least=tuple(round(1 - coverage, 2) for coverage in COVERAGES))
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]], np.float32)
    assert calibration.label_sets(probabilities, coverage=0.8).tolist() == [[True, True, False], [True, True, True]]
    assert calibration.label_sets(probabilities, coverage=0.5).tolist() == [[True, False, False], [False] * 3]


@pytest.mark.parametrize("coverage", [0, 1, 0.905, 1.5, math.inf])
def test_a_coverage_is_a_whole_percent(coverage: float) -> None:
    calibration = Calibration(least=(0.5,) * len(COVERAGES))
    with pytest.raises(DataError, match="expected a whole percent"):
        calibration.label_sets(np.ones((1, 1), np.float32), coverage=coverage)


def test_what_was_not_fitted_says_how_to_fit_it() -> None:
    with pytest.raises(DataError, match="no label sets.*run textcnn calibrate"):
        Calibration().label_sets(np.ones((1, 1), np.float32), coverage=0.9)
    with pytest.raises(DataError, match="cannot tell how familiar.*run textcnn calibrate"):
        Calibration().familiarity(np.ones((1, 1), np.float32), np.zeros(1, np.float32))


def test_unknown_words_and_doubt_make_a_text_strange() -> None:
    sure, unsure = [0.9, 0.1], [0.5, 0.5]
    score = familiar_score(np.array([sure, sure, unsure], np.float32), np.array([0.0, 0.5, 0.0], np.float32))
    assert score[0] > score[2] > score[1]
    calibration = Calibration(quantiles=tuple(np.linspace(-1, 0, 101)))
    shares = calibration.familiarity(np.array([[1.0], [1.0], [1e-9]], np.float32), np.array([0.0, 0.25, 0], np.float32))
    np.testing.assert_allclose(shares, [1.0, 0.505, 0.0], atol=0.01)


def test_the_share_of_unknown_tokens_is_by_text() -> None:
    unknown = np.array([True, False, True, True])
    np.testing.assert_array_equal(unknown_share(unknown, np.array([0, 2, 2, 4])), np.array([0.5, 1, 1], np.float32))
    assert unknown_share(np.zeros(0, bool), np.zeros(1, np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a calibration: Invalid JSON"),
        ("[]", "not a calibration: Input should be an object"),
        ('{"method": "platt"}', "method: Input should be 'temperature'"),
        ('{"temperature": 0}', "temperature: Input should be greater than 0"),
        ('{"temperature": NaN}', "not a calibration"),
        ('{"extra": 1}', "extra: Extra inputs are not permitted"),
        ('{"method": "vector", "scale": [1], "shift": [1]}', "1 scale for 2 labels"),
        ('{"method": "isotonic"}', "0 curves for 2 labels"),
        ('{"method": "isotonic", "curves": [{"before": [1, 0], "after": [0, 1]}]}', "in rising order"),
        ('{"thresholds": [0.5, 0.5, 0.5]}', "3 thresholds for 2 labels"),
        ('{"least": [0.5]}', "least has 1 entries, expected 99"),
    ],
)
def test_another_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Calibration.from_json(text, classes=2)


@pytest.mark.parametrize("threshold", [float("nan"), -0.1, 1.1, "0.5"])
def test_a_threshold_that_is_no_probability_is_refused(threshold: Any) -> None:
    with pytest.raises(DataError, match="the threshold is .* expected a number from 0 to 1"):
        Calibration().abstains(np.zeros(1, np.int64), np.ones(1, np.float32), at_least=threshold)
