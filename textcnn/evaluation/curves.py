"""Curves behind the figures, thinned to what a plot can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from textcnn.evaluation.metrics import with_both
from textcnn.types import Bools, Floats

POINTS = 100
Curve = dict[str, list[float]]


def roc(probabilities: Floats, truth: Bools, names: Sequence[str]) -> dict[str, Any]:
    """Of each label that some texts have and others have not: false and true positive rates, and the area.

    `truth` bool[texts, labels] says which labels a text has.
    """
    found = {}
    for index in with_both(truth).tolist():
        false, true, _ = roc_curve(truth[:, index], probabilities[:, index])
        area = float(roc_auc_score(truth[:, index], probabilities[:, index]))
        found[names[index]] = {**_thin(x=false, y=true), "area": area}
    return found


def precision_recall(probabilities: Floats, truth: Bools, names: Sequence[str]) -> dict[str, Any]:
    """The same of recall and precision; the area is the average precision."""
    found = {}
    for index in with_both(truth).tolist():
        precision, recall, _ = precision_recall_curve(truth[:, index], probabilities[:, index])
        area = float(average_precision_score(truth[:, index], probabilities[:, index]))
        found[names[index]] = {**_thin(x=recall[::-1], y=precision[::-1]), "area": area}
    return found


def risk_coverage(confidence: Floats, right: Bools) -> dict[str, Any]:
    """The share of wrong answers among the most confident share of the texts, and the mean of it over all shares.

    This is what abstaining buys (El-Yaniv and Wiener 2010): x is the share answered, y the share of wrong answers in
    it, `threshold` the confidence of the last one answered.
    """
    order = np.argsort(-confidence, kind="stable")
    count = np.arange(1, len(order) + 1)
    risk = np.cumsum(~right[order]) / count
    curve = _thin(x=count / len(order), y=risk, threshold=confidence[order])
    return {**curve, "area": float(risk.mean())}


def _thin(**columns: npt.NDArray[Any]) -> Curve:
    """At most POINTS points, the ends among them."""
    count = len(next(iter(columns.values())))
    kept = np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
    return {name: values[kept].astype(float).round(6).tolist() for name, values in columns.items()}
