"""Figures of a classifier on labelled texts, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from textcnn.errors import DataError, MissingExtraError
from textcnn.types import Floats


def evaluate_predictions(labels: Sequence[str], probabilities: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, log loss, macro F1, and precision, recall, F1 and count of every label.

    `probabilities` is float[len(labels), len(names)]. A row whose label is not among `names` cannot be right: it counts
    as wrong, is left out of the log loss (None if nothing is left), and is counted in `unknown_labels`.
    """
    try:
        from sklearn.metrics import precision_recall_fscore_support
    except ImportError:
        raise MissingExtraError("evaluation", package="scikit-learn", extra="train") from None
    if not len(labels):
        raise DataError("there is no row to evaluate")
    truth = np.array(labels, object)
    predicted = np.array(names, object)[probabilities.argmax(1)]
    index = {name: i for i, name in enumerate(names)}
    known = np.array([label in index for label in labels])
    of_truth = probabilities[known, [index[label] for label in truth[known]]]
    every = [*names, *sorted(set(truth[~known]))]
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0.0)
    return {
        "texts": len(labels),
        "accuracy": float((truth == predicted).mean()),
        "loss": float(-np.log(np.maximum(of_truth, 1e-12)).mean()) if known.any() else None,
        "macro_f1": float(f1[support > 0].mean()),
        "unknown_labels": int((~known).sum()),
        "labels": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "texts": int(n)}
            for name, p, r, f, n in zip(every, precision, recall, f1, support, strict=True)
        },
    }
