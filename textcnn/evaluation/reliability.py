"""Whether probabilities hold: of what is said with 80 %, 80 % should be right."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from textcnn.calibration.calibration import Calibration
from textcnn.calibration.fit import Validation, cross_fitted, fit_calibration
from textcnn.choices import CalibrationMethod
from textcnn.types import Bools, Floats, Offsets

BINS = 15
DRAWS = 100
TINY = 1e-12  # a probability counts as no less, where it is the logarithm that counts


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence: how many, their mean confidence, and the share of right ones."""

    texts: int
    confidence: float
    accuracy: float


def reliability_bins(confidence: Floats, right: Bools, *, bins: int = BINS, adaptive: bool = False) -> list[Bin]:
    """The bins that hold a text: of equal width (0 to 1), or `adaptive`, of equally many texts each."""
    count = len(confidence)
    if adaptive:
        groups = np.array_split(np.argsort(confidence, kind="stable"), min(bins, count))
    else:
        place = _bin_of(confidence, bins)
        order = np.argsort(place, kind="stable")
        groups = np.split(order, np.searchsorted(place[order], np.arange(1, bins)))
    return [
        Bin(len(rows), float(confidence[rows].mean(dtype=np.float64)), float(right[rows].mean()))
        for rows in groups
        if len(rows)
    ]


def _bin_of(confidence: Floats, bins: int) -> Offsets:
    """The bin of each confidence among those of equal width, int64[N]."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def calibration_error(confidence: Floats, right: Bools, *, bins: int = BINS, adaptive: bool = False) -> float:
    """ECE: |confidence - accuracy| of each bin, averaged over texts (Naeini et al. 2015; Nixon et al. 2019)."""
    found = reliability_bins(confidence, right, bins=bins, adaptive=adaptive)
    return sum(part.texts * abs(part.confidence - part.accuracy) for part in found) / len(confidence)


def error_by_chance(confidence: Floats) -> float:
    """The mean ECE if every probability held exactly: what so few texts leave to chance."""
    random, place = np.random.default_rng(0), _bin_of(confidence, BINS)
    surplus = [
        np.bincount(place, weights=(random.random(len(confidence)) < confidence) - confidence, minlength=BINS)
        for _ in range(DRAWS)
    ]
    return float(np.abs(surplus).sum(axis=1).mean() / len(confidence))


def brier(probabilities: Floats, targets: Offsets) -> float:
    """Mean squared distance to the right answer, summed over classes: 0 is best, 2 is worst (Brier 1950)."""
    of_truth = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    squares = (probabilities.astype(np.float64) ** 2).sum(axis=1)
    return float((squares - 2 * of_truth + 1).mean())


def log_loss(probabilities: Floats, targets: Offsets) -> float:
    """Mean negative logarithm of the right class's probability, at most -log(TINY) each."""
    of_truth = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(of_truth, TINY)).mean())


def reliability_figures(probabilities: Floats, targets: Offsets) -> dict[str, float]:
    """ECE with bins of equal width and of equal size, the part of it that is chance, Brier score, log loss."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    return {
        "ece": calibration_error(confidence, right),
        "ece_adaptive": calibration_error(confidence, right, adaptive=True),
        "ece_by_chance": error_by_chance(confidence),
        "brier": brier(probabilities, targets),
        "loss": log_loss(probabilities, targets),
    }


def fit_and_measure(validation: Validation, method: CalibrationMethod) -> tuple[Calibration, dict[str, Any]]:
    """A calibration, and figures without and with it: fitted on four fifths and measured on the last, in turn.

    Plain softmax is kept ("method" is none, "after" as "before") where what was "tried" raises the log loss so measured
    by more than its standard error: few texts cannot tell, and most networks are too sure. Raises DataError.
    """
    fitted, plain = fit_calibration(validation, method), fit_calibration(validation, "none")
    as_is, tried = plain.probabilities(validation.logits), cross_fitted(validation, method)
    before, after = (reliability_figures(found, validation.targets) for found in (as_is, tried))
    rows = np.arange(len(validation))
    gain = np.log(np.maximum(tried, TINY)[rows, validation.targets] / np.maximum(as_is, TINY)[rows, validation.targets])
    helps = float(gain.mean()) >= -float(gain.std()) / len(gain) ** 0.5
    return fitted if helps else plain, {
        "method": method if helps else "none",
        "tried": method,
        "tried_loss": after["loss"],
        "texts": len(validation),
        "before": before,
        "after": after if helps else before,
    }


def pair_diagram(probabilities: Floats, truth: Bools) -> list[dict[str, float]]:
    """The same of every label of every text, where a text may have several: truth bool[texts, labels]."""
    return [asdict(part) for part in reliability_bins(probabilities.ravel(), truth.ravel())]


def diagram(probabilities: Floats, targets: Offsets) -> list[dict[str, float]]:
    """The bins of the reliability diagram, as plain numbers."""
    return [
        asdict(part) for part in reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)
    ]
