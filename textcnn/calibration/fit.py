"""Fits a Calibration to validation texts: probabilities, thresholds, label sets and familiarity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from textcnn.calibration.calibration import (
    COVERAGES,
    Calibration,
    Curve,
    familiar_score,
)
from textcnn.choices import AbstainingGoal, CalibrationMethod
from textcnn.errors import DataError
from textcnn.types import Bools, Exact, Floats, Offsets

# 1 / temperature is looked for between these; beyond, the logits say nothing, or validation has no mistake at all
SHARPEST, FLATTEST = 20.0, 0.02
# two numbers need no more texts than this
MOST_TEXTS = 20_000
# pulls vector scaling towards doing nothing: two numbers a class are many for a few hundred texts
VECTOR_PENALTY = 1.0
# fewer texts say nothing about the numbers of a method: two, two a class, a curve a class
LEAST_TEXTS: dict[CalibrationMethod, int] = {"none": 1, "temperature": 10, "vector": 100, "isotonic": 200}
# what no probability reaches
NEVER = 1.01
QUANTILES = 200
# of honest figures: fitted on the others, measured on one
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Validation:
    """Texts that training did not learn from: logits float32[N, classes], class indices int64[N], unknown float32[N].

    `unknown` is the share of unknown tokens of each text.
    """

    logits: Floats
    targets: Offsets
    unknown: Floats

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def labels(self) -> int:
        """How many different labels the texts have."""
        return len(np.unique(self.targets))

    def allows(self, method: CalibrationMethod) -> bool:
        """Whether there are enough texts, and labels among them, for a method that every label has a part in."""
        least = {"none": 1, "temperature": 2, "vector": self.logits.shape[1], "isotonic": self.logits.shape[1]}[method]
        return len(self) >= LEAST_TEXTS[method] and self.labels >= least

    def take(self, rows: Offsets) -> Validation:
        return Validation(self.logits[rows], self.targets[rows], self.unknown[rows])


def fit_calibration(validation: Validation, method: CalibrationMethod = "temperature") -> Calibration:
    """Probabilities by `method`, and from them label sets and familiarity.

    Raises DataError for fewer than LEAST_TEXTS[method] texts.
    """
    count, least = len(validation), LEAST_TEXTS[method]
    if not count:
        raise DataError("there is no text to calibrate on")
    if count < least:
        few = "1 text is" if count == 1 else f"{count:,} texts are"
        raise DataError(f"{few} too few for {method}, expected at least {least}")
    seen, classes = validation.labels, validation.logits.shape[1]
    if seen < 2 and method != "none":
        raise DataError(
            f"all {count:,} texts have the same label, and being sure of it would always be right; give texts of every "
            "label, such as those that the model will meet"
        )
    if seen < classes and method in ("vector", "isotonic"):
        raise DataError(
            f"{classes - seen} of {classes} labels have no text, and {method} would learn never to give them; give "
            "texts of every label, or take another method"
        )
    calibration = SCALINGS[method](validation)
    probabilities = calibration.probabilities(validation.logits)
    familiar = np.sort(familiar_score(probabilities, validation.unknown))
    spread = np.unique(np.linspace(0, len(familiar) - 1, min(QUANTILES, len(familiar))).astype(int))
    return calibration.changed(
        least=_least_probabilities(probabilities, validation.targets),
        quantiles=tuple(familiar[spread].round(6).tolist()),
    )


def _as_it_is(validation: Validation) -> Calibration:
    return Calibration()


def _temperature(validation: Validation) -> Calibration:
    """The temperature and doubt that make the log loss least.

    As in Platt (1999), the texts count as if one more had been wrong: without it, a few texts that are all right would
    make the model certain of everything. Where labels are wrong now and then, temperature alone leaves a bend: to be
    less sure at the top it has to be too unsure below.
    """
    rows = np.random.default_rng(0).permutation(len(validation))[:MOST_TEXTS]
    logits, targets = validation.logits[rows].astype(np.float64), validation.targets[rows]
    mistake = 1.0 / (len(targets) + 2)

    def loss(weights: Exact) -> float:
        probabilities = np.log(_doubted(_softmax(logits * np.exp(-weights[0])), _share(weights[1])))
        right = probabilities[np.arange(len(targets)), targets]
        return float(-((1 - mistake) * right + mistake * probabilities.mean(axis=1)).mean())

    bounds = [(-math.log(SHARPEST), -math.log(FLATTEST)), (-12.0, 0.0)]
    temperature, doubt = minimize(loss, np.array([0.0, -4.0]), method="L-BFGS-B", bounds=bounds).x
    return Calibration(method="temperature", temperature=round(math.exp(temperature), 6), doubt=round(_share(doubt), 6))


def _share(weight: float) -> float:
    return 1.0 / (1.0 + math.exp(-weight))


def _doubted(probabilities: Exact, doubt: float) -> Exact:
    """What Calibration.probabilities does with its doubt; never 0, for the logarithm."""
    mixed: Exact = (1.0 - doubt) * probabilities + doubt / probabilities.shape[1]
    return np.maximum(mixed, 1e-300)


def _vector(validation: Validation) -> Calibration:
    logits, targets = validation.logits.astype(np.float64), validation.targets
    count, classes = logits.shape
    truth, penalty = np.eye(classes)[targets], VECTOR_PENALTY / count
    start = 1.0 / _temperature(validation).temperature
    neutral = np.concatenate([np.full(classes, start), np.zeros(classes)])

    def loss(weights: Exact) -> tuple[float, Exact]:
        scaled = logits * weights[:classes] + weights[classes:]
        error = (_softmax(scaled) - truth) / count
        gradient = np.concatenate([(error * logits).sum(0), error.sum(0)])
        away = weights - neutral
        mean = float((_log_sum(scaled) - scaled[np.arange(count), targets]).mean())
        return mean + penalty * float(away @ away), gradient + 2 * penalty * away

    weights = minimize(loss, neutral, jac=True, method="L-BFGS-B").x.round(6)
    return Calibration(
        method="vector", scale=tuple(weights[:classes].tolist()), shift=tuple(weights[classes:].tolist())
    )


def _isotonic(validation: Validation) -> Calibration:
    probabilities = Calibration().probabilities(validation.logits).astype(np.float64)
    curves = []
    for index in range(probabilities.shape[1]):
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(probabilities[:, index], validation.targets == index)
        before, after = np.clip(fitted.X_thresholds_, 0, 1), np.clip(fitted.y_thresholds_, 0, 1)
        curves.append(Curve(before=tuple(before.round(9).tolist()), after=tuple(after.round(9).tolist())))
    return Calibration(method="isotonic", curves=tuple(curves))


SCALINGS = {"none": _as_it_is, "temperature": _temperature, "vector": _vector, "isotonic": _isotonic}


def _softmax(logits: Exact) -> Exact:
    exact: Exact = np.exp(logits - logits.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    return exact


def _log_sum(logits: Exact) -> Exact:
    highest = logits.max(axis=1)
    total: Exact = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
    return total


def _least_probabilities(probabilities: Floats, targets: Offsets) -> tuple[float, ...]:
    """For each coverage the probability that so many right labels reach, with the correction for finite samples.

    Of n texts the ceil((n + 1) * coverage) best ones must be covered; where n is too small for that, every label is.
    """
    right = np.sort(probabilities[np.arange(len(targets)), targets])[::-1]
    needed = [math.ceil((len(right) + 1) * coverage - 1e-9) for coverage in COVERAGES]
    # rounded down, so that the text itself stays covered
    return tuple(math.floor(float(right[n - 1]) * 1e7) / 1e7 if n <= len(right) else 0.0 for n in needed)


def fit_thresholds(
    probabilities: Floats,
    targets: Offsets,
    *,
    goal: AbstainingGoal = "precision",
    value: float = 0.0,
    by_label: bool = False,
) -> tuple[float, ...]:
    """The least probability with which each class is answered, one a class.

    Goal "precision": the lowest one with which at least `value` of the answers are right, all together; or `by_label`
    for each label by itself, where a label that never gets there is never answered. Goal "f1": for each label the one
    of the highest F1. Raises DataError where no threshold reaches the goal.
    """
    classes = probabilities.shape[1]
    best = probabilities.argmax(axis=1)
    confidence, right = probabilities.max(axis=1), best == targets
    if goal == "precision" and not by_label:
        found = _for_precision(confidence, right, value)
        if found is None:
            highest = _highest_precision(confidence, right)
            raise DataError(
                f"no threshold makes {value:.1%} of the answers right on these {len(targets):,} texts; "
                f"the most is {highest:.1%}"
            )
        return tuple([found] * classes)
    thresholds: list[float] = []
    for index in range(classes):
        rows = best == index
        if goal == "f1":
            found = _for_f1(confidence[rows], right[rows], int((targets == index).sum()))
        else:
            found = _for_precision(confidence[rows], right[rows], value)
        thresholds.append(NEVER if found is None else found)
    if goal == "precision" and min(thresholds) == NEVER:
        raise DataError(f"no label is right in {value:.1%} of its answers, whatever the threshold")
    return tuple(thresholds)


def _ranked(confidence: Floats, right: Bools) -> tuple[Exact, Exact, Bools]:
    """Confidences from high to low, the right answers down to each, and where a cut can be: not between equals."""
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order].astype(np.float64)
    cut = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    return sorted_confidence, np.cumsum(right[order]).astype(np.float64), cut


def _floor(confidence: float) -> float:
    """Six digits that the float32 confidence itself still reaches."""
    return math.floor(confidence * 1e6) / 1e6


def _for_precision(confidence: Floats, right: Bools, value: float) -> float | None:
    if not len(right):
        return None
    ranked, hits, cut = _ranked(confidence, right)
    good = np.flatnonzero(cut & (hits / np.arange(1, len(ranked) + 1) >= value))
    if not len(good):
        return None
    # everything is good enough: answer also what is less certain than anything seen
    return 0.0 if good[-1] == len(ranked) - 1 else _floor(float(ranked[good[-1]]))


def _highest_precision(confidence: Floats, right: Bools) -> float:
    ranked, hits, cut = _ranked(confidence, right)
    return float((hits / np.arange(1, len(ranked) + 1))[cut].max())


def _for_f1(confidence: Floats, right: Bools, positives: int) -> float:
    if not len(right):
        return 0.0
    ranked, hits, cut = _ranked(confidence, right)
    f1 = np.where(cut, 2 * hits / (np.arange(1, len(ranked) + 1) + positives), -1.0)
    place = int(f1.argmax())
    return 0.0 if place == len(ranked) - 1 else _floor(float(ranked[place]))


def cross_fitted(validation: Validation, method: CalibrationMethod) -> Floats:
    """Probabilities of each text by a calibration fitted on the others, float32[N, classes]: for honest figures."""
    count = len(validation)
    fold_of = _folds(count)
    result = np.empty(validation.logits.shape, np.float32)
    for fold in range(min(FOLDS, count)):
        inside, outside = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        fitted = SCALINGS[method](validation.take(inside)) if len(inside) else Calibration()
        result[outside] = fitted.probabilities(validation.logits[outside])
    return result


def _folds(count: int) -> Offsets:
    """The fold of each text, int64[count], by chance and always the same."""
    fold_of: Offsets = np.random.default_rng(0).permutation(count) % min(FOLDS, count)
    return fold_of


def thresholds_tried(
    probabilities: Floats,
    targets: Offsets,
    *,
    goal: AbstainingGoal,
    value: float,
    by_label: bool,
) -> dict[str, float | int | None]:
    """Share answered, and share of right answers among those, with thresholds fitted on the other folds.

    A fold whose others reach the goal by no threshold is not answered. `precision` is None if nothing is answered.
    """
    count = len(targets)
    fold_of = _folds(count)
    best = probabilities.argmax(axis=1)
    answered = np.zeros(count, bool)
    for fold in range(min(FOLDS, count)):
        inside = fold_of != fold
        try:
            found = fit_thresholds(probabilities[inside], targets[inside], goal=goal, value=value, by_label=by_label)
        except DataError:
            continue
        answered |= ~inside & (probabilities.max(axis=1) >= np.array(found)[best])
    right = (best == targets)[answered]
    return {
        "texts": count,
        "answered": float(answered.mean()),
        "precision": float(right.mean()) if len(right) else None,
        "precision_of_all": float((best == targets).mean()),
    }
