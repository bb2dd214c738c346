from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcnn.calibration.calibration import COVERAGES, Calibration, unknown_share
from textcnn.calibration.fit import (
    LEAST_TEXTS,
    NEVER,
    SCALINGS,
    Validation,
    cross_fitted,
    fit_calibration,
    fit_thresholds,
    thresholds_tried,
)
from textcnn.choices import CalibrationMethod
from textcnn.errors import DataError
from textcnn.evaluation.reliability import log_loss

METHODS: list[CalibrationMethod] = ["none", "temperature", "vector", "isotonic"]


def overconfident(rows: int, *, times: float = 3.0, seed: int = 0) -> Validation:
    """Labels drawn from the softmax of logits, which are then shown `times` as large."""
    random = np.random.default_rng(seed)
    logits = random.standard_normal((rows, 4)) * 1.5
    odds = np.exp(logits).cumsum(1)
    targets = (odds < random.random((rows, 1)) * odds[:, -1:]).sum(1)
    return Validation((times * logits).astype(np.float32), targets, np.zeros(rows, np.float32))


def test_temperature_finds_what_the_logits_were_multiplied_by() -> None:
    assert fit_calibration(overconfident(20_000)).temperature == pytest.approx(3.0, rel=0.05)
    assert fit_calibration(overconfident(20_000, times=0.5)).temperature == pytest.approx(0.5, rel=0.05)


def test_doubt_finds_the_share_of_labels_that_are_chance() -> None:
    validation, random = overconfident(20_000), np.random.default_rng(1)
    by_chance = np.where(random.random(20_000) < 0.1, random.integers(0, 4, 20_000), validation.targets)
    calibration = fit_calibration(Validation(validation.logits, by_chance, validation.unknown))
    assert calibration.doubt == pytest.approx(0.1, abs=0.02)
    assert calibration.temperature == pytest.approx(3.0, rel=0.1)


def test_a_few_texts_that_are_all_right_do_not_make_it_certain() -> None:
    targets = np.arange(10) % 3
    right = Validation(3 * np.eye(3, dtype=np.float32)[targets], targets, np.zeros(10, np.float32))
    assert fit_calibration(right).probabilities(right.logits).max() < 0.97


def test_vector_scaling_finds_a_shift() -> None:
    validation = overconfident(20_000, times=1.0)
    shifted = Validation(
        validation.logits + np.array([0, 2, 0, -1], np.float32), validation.targets, validation.unknown
    )
    shift = np.array(fit_calibration(shifted, "vector").shift)
    np.testing.assert_allclose(shift - shift[0], [0, -2, 0, 1], atol=0.3)


@pytest.mark.parametrize("method", METHODS[1:])
def test_every_method_lowers_the_loss_of_other_texts(method: CalibrationMethod) -> None:
    fitted, other = fit_calibration(overconfident(4000), method), overconfident(4000, seed=1)
    before, after = (
        log_loss(c.probabilities(other.logits), other.targets) for c in (fit_calibration(other, "none"), fitted)
    )
    assert after < before - 0.2


@pytest.mark.parametrize("method", METHODS)
def test_few_texts_do_no_harm(method: CalibrationMethod) -> None:
    rows = LEAST_TEXTS[method]
    given = overconfident(rows)
    calibration = fit_calibration(Validation(given.logits, np.arange(rows) % 4, given.unknown), method)
    assert np.isfinite(calibration.probabilities(given.logits)).all()
    assert np.isfinite(cross_fitted(given, method)).all()
    if rows < 99:
        assert calibration.label_sets(calibration.probabilities(given.logits), coverage=0.99).all(), (
            "too few to leave out any"
        )


def test_cross_fitted_probabilities_are_of_a_calibration_that_has_not_seen_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.arange(53)
    given = Validation(overconfident(53).logits, np.zeros(53, np.int64), rows.astype(np.float32))
    seen: list[set[int]] = []

    def fit_and_note(others: Validation) -> Calibration:
        seen.append(set(others.unknown.astype(int).tolist()))
        return Calibration(method="temperature", temperature=1.0 + len(seen))

    monkeypatch.setitem(SCALINGS, "temperature", fit_and_note)
    found = cross_fitted(given, "temperature")
    by_fold = [Calibration(method="temperature", temperature=2.0 + k).probabilities(given.logits) for k in range(5)]
    folds = [int(np.argmin([np.abs(found[row] - one[row]).max() for one in by_fold])) for row in rows]
    assert [len(rows) - len(others) for others in seen] == [folds.count(k) for k in range(5)] == [11, 11, 11, 10, 10]
    assert not any(row in seen[fold] for row, fold in zip(rows.tolist(), folds, strict=True))


@pytest.mark.parametrize("method", METHODS[1:])
def test_fewer_texts_than_a_method_needs_are_refused(method: CalibrationMethod) -> None:
    least = LEAST_TEXTS[method]
    with pytest.raises(DataError, match=f"{least - 1} texts are too few for {method}, expected at least {least}"):
        fit_calibration(overconfident(least - 1), method)


def test_without_texts_nothing_can_be_fitted() -> None:
    with pytest.raises(DataError, match="no text to calibrate on"):
        fit_calibration(overconfident(0))


def test_label_sets_cover_other_texts_as_stated() -> None:
    calibration, other = fit_calibration(overconfident(5000)), overconfident(5000, seed=1)
    probabilities = calibration.probabilities(other.logits)
    for coverage in (0.5, 0.8, 0.9, 0.95, 0.99):
        inside = calibration.label_sets(probabilities, coverage=coverage)[np.arange(5000), other.targets]
        assert inside.mean() == pytest.approx(coverage, abs=0.02)


def test_larger_coverages_give_larger_sets() -> None:
    least = fit_calibration(overconfident(500)).least
    assert len(least) == len(COVERAGES)
    assert list(least) == sorted(least, reverse=True)


def test_familiar_texts_are_told_from_those_of_unknown_words() -> None:
    validation = overconfident(1000)
    calibration = fit_calibration(validation)
    probabilities = calibration.probabilities(validation.logits)
    assert calibration.familiarity(probabilities, validation.unknown).mean() == pytest.approx(0.5, abs=0.01)
    assert calibration.familiarity(probabilities, unknown_share(np.ones(1000, bool), np.arange(1001))).max() < 0.2


def probabilities_and_targets(rows: int = 3000) -> tuple[Any, Any]:
    validation = overconfident(rows)
    return fit_calibration(validation).probabilities(validation.logits), validation.targets


def test_a_threshold_reaches_its_precision_and_no_lower_one_does() -> None:
    probabilities, targets = probabilities_and_targets()
    thresholds = fit_thresholds(probabilities, targets, value=0.8)
    assert len(set(thresholds)) == 1
    confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    assert right[confidence >= thresholds[0]].mean() >= 0.8
    lower = np.unique(confidence[confidence < thresholds[0]])
    assert all(right[confidence >= value].mean() < 0.8 for value in lower)


def test_precision_by_label_is_reached_by_each_or_the_label_is_never_answered() -> None:
    probabilities, targets = probabilities_and_targets()
    targets = np.where(targets == 3, 2, targets)  # what is called 3 is never right
    thresholds = fit_thresholds(probabilities, targets, value=0.8, by_label=True)
    best, confidence = probabilities.argmax(1), probabilities.max(1)
    for index in range(3):
        answered = (best == index) & (confidence >= thresholds[index])
        assert (targets[answered] == index).mean() >= 0.8
    assert thresholds[3] == NEVER


def test_the_threshold_of_f1_is_the_best_there_is() -> None:
    probabilities, targets = probabilities_and_targets(400)
    thresholds = fit_thresholds(probabilities, targets, goal="f1")
    best, confidence = probabilities.argmax(1), probabilities.max(1)

    def f1(index: int, threshold: float) -> float:
        wanted, given = targets == index, (best == index) & (confidence >= threshold)
        return float(2 * (wanted & given).sum() / (wanted.sum() + given.sum()))

    for index, threshold in enumerate(thresholds):
        assert f1(index, threshold) == pytest.approx(max(f1(index, value) for value in [0, *confidence]))


def test_a_goal_out_of_reach_says_what_can_be_had() -> None:
    probabilities, targets = np.full((10, 2), 0.5, np.float32), np.array([0] * 6 + [1] * 4)
    with pytest.raises(DataError, match="no threshold makes 90.0% of the answers right.*the most is 60.0%"):
        fit_thresholds(probabilities, targets, value=0.9)
    with pytest.raises(DataError, match="no label is right in 90.0%"):
        fit_thresholds(probabilities, targets, value=0.9, by_label=True)


def test_where_all_is_good_enough_everything_is_answered() -> None:
    probabilities, targets = probabilities_and_targets()
    assert fit_thresholds(probabilities, targets, value=0.1) == (0.0,) * 4


def test_thresholds_are_tried_on_texts_they_were_not_chosen_on() -> None:
    probabilities, targets = probabilities_and_targets()
    figures = thresholds_tried(probabilities, targets, goal="precision", value=0.8, by_label=False)
    assert figures["precision"] == pytest.approx(0.8, abs=0.03)
    assert 0.1 < figures["answered"] < 1
    undecided = np.full((3000, 4), 0.25, np.float32)
    none = thresholds_tried(undecided, targets, goal="precision", value=0.9, by_label=False)
    assert (none["answered"], none["precision"]) == (0.0, None)


@pytest.mark.parametrize("method", METHODS[1:])
def test_texts_of_one_label_teach_no_probabilities(method: CalibrationMethod) -> None:
    of_all = overconfident(1000)
    one = of_all.take(np.flatnonzero(of_all.targets == 1))
    assert not one.allows(method) and one.allows("none")
    with pytest.raises(DataError, match="have the same label.* give texts of every label"):
        fit_calibration(one, method)
    three = of_all.take(np.flatnonzero(of_all.targets != 1))
    assert three.allows(method) == (method == "temperature")
    if method == "temperature":
        assert fit_calibration(three).temperature > 1
        return
    with pytest.raises(DataError, match=f"1 of 4 labels have no text, and {method} would learn never to give them"):
        fit_calibration(three, method)
