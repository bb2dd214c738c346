"""Figures of a classifier on labelled texts, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from textcnn.errors import DataError, needs_extra
from textcnn.types import Bools, Exact, Floats, Offsets

DRAWS = 1000
# of the draws, between these quantiles: the 95 % interval
INTERVAL = (0.025, 0.975)
CELLS_AT_ONCE = 1 << 22  # drawn: 32 MB each of what is made of them
TOP_K = (2, 3, 5, 10)
# The 95 % quantile of the normal distribution, both sides
_Z = 1.959964


def evaluate_predictions(labels: Sequence[str], probabilities: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Figures of all texts, 95 % intervals of some, and precision, recall, F1 and count of every label.

    `probabilities` is float[len(labels), len(names)]. A row whose label is not among `names` cannot be right: it counts
    as wrong, is left out of log loss, Brier score and areas (None if nothing is left), and is counted in
    `unknown_labels`. `macro_f1` and the areas are means over the labels that occur; `top` holds the share of texts
    whose label is among the k most probable ones. With one label a text, micro F1 is the accuracy. Raises DataError
    without a row.
    """
    with needs_extra("evaluation", "train"):
        from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support
    from textcnn.evaluation.reliability import brier, calibration_error, error_by_chance, log_loss

    if not len(labels):
        raise DataError("there is no row to evaluate")
    every, truth, known = encode_labels(labels, names)
    predicted = probabilities.argmax(axis=1)
    right = predicted == truth
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=range(len(every)), zero_division=0.0
    )
    of_known, targets = probabilities[known], truth[known]
    ranks = (of_known > of_known[np.arange(len(targets)), targets][:, None]).sum(axis=1)
    return {
        "texts": len(labels),
        "accuracy": float(right.mean()),
        "loss": log_loss(of_known, targets) if known.any() else None,
        "macro_f1": float(f1[support > 0].mean()),
        "mcc": float(matthews_corrcoef(truth, predicted)) if np.ptp([truth, predicted]) else 0.0,
        "brier": brier(of_known, targets) if known.any() else None,
        "ece": calibration_error(probabilities.max(axis=1), right),
        "ece_adaptive": calibration_error(probabilities.max(axis=1), right, adaptive=True),
        "ece_by_chance": error_by_chance(probabilities.max(axis=1)),
        **areas(of_known, targets[:, None] == np.arange(len(names))),
        "top": {str(k): float((ranks < k).sum() / len(labels)) for k in TOP_K if k < len(names)},
        "intervals": intervals(confusion(truth, predicted, len(every))),
        "unknown_labels": int((~known).sum()),
        "labels": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "texts": int(n)}
            for name, p, r, f, n in zip(every, precision, recall, f1, support, strict=True)
        },
    }


def encode_labels(labels: Sequence[str], names: Sequence[str]) -> tuple[list[str], Offsets, Bools]:
    """All names with the unknown labels behind them, the index of each row's label, and which rows are known."""
    every = [*names, *sorted(set(labels) - set(names))]
    places = {name: index for index, name in enumerate(every)}
    truth = np.array([places[label] for label in labels], np.int64)
    return every, truth, truth < len(names)


def confusion(truth: Offsets, predicted: Offsets, classes: int) -> Offsets:
    """How often each class (row) was taken for each (column), int64[classes, classes]."""
    counts: Offsets = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return counts


def areas(probabilities: Floats, truth: Bools) -> dict[str, float | None]:
    """Areas under the curves of ROC and of precision and recall, each label against the rest: the mean over labels.

    `truth` bool[texts, labels] says which labels a text has. None where no label has both texts of its own and of
    others.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    chosen = with_both(truth)
    if not len(chosen):
        return {"roc_auc": None, "average_precision": None}
    truth, scores = truth[:, chosen], probabilities[:, chosen]
    return {
        "roc_auc": float(roc_auc_score(truth, scores, average="macro")),
        "average_precision": float(average_precision_score(truth, scores, average="macro")),
    }


def with_both(truth: Bools) -> Offsets:
    """The labels that some texts have and others have not, int64: those that a curve can be drawn of."""
    return np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))


def intervals(counts: Offsets) -> dict[str, list[float]]:
    """95 % intervals of accuracy, macro F1 and MCC from a confusion matrix, int64[classes, classes].

    Wilson's for the accuracy, for which a bootstrap of few texts is too narrow; bootstrap for the others.
    Drawing texts with replacement is drawing the matrix's cells from a multinomial distribution: no text is looked at.
    """
    true, said = np.nonzero(counts)
    total, random = int(counts.sum()), np.random.default_rng(0)
    at_once = max(1, CELLS_AT_ONCE // max(len(true), len(counts)))
    figures = [
        _drawn_figures(
            random.multinomial(total, counts[true, said] / total, size=min(at_once, DRAWS - first)),
            true,
            said,
            len(counts),
        )
        for first in range(0, DRAWS, at_once)
    ]
    macro, mcc = np.concatenate(figures, axis=1)
    return {
        "accuracy": list(wilson(int(np.trace(counts)), total)),
        "macro_f1": np.quantile(macro, INTERVAL).tolist(),
        "mcc": np.quantile(mcc, INTERVAL).tolist(),
    }


def _drawn_figures(drawn: Offsets, true: Offsets, said: Offsets, classes: int) -> Exact:
    """Macro F1 and MCC of matrices whose cells (true, said) have the counts drawn int64[draws, cells]: [2, draws]."""
    from scipy.sparse import csr_array

    def by_class(of: Offsets, counted: Bools) -> Exact:
        """float64[draws, classes]; each cell goes to one class, so a dense matrix would be nearly all zeros."""
        cells = np.flatnonzero(counted)
        sums = csr_array((np.ones(len(cells)), (of[cells], cells)), shape=(classes, len(of))) @ drawn.T
        return np.asarray(sums, np.float64).T

    every = np.ones(len(true), bool)
    hits, of_true, of_said = by_class(true, true == said), by_class(true, every), by_class(said, every)
    total = float(drawn[0].sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        # a draw may have no text of a label: then it does not count
        macro = np.nanmean(np.where(of_true > 0, 2 * hits / (of_true + of_said), np.nan), axis=1)
        spread = np.sqrt((total**2 - (of_said**2).sum(1)) * (total**2 - (of_true**2).sum(1)))
        mcc = np.where(spread > 0, (hits.sum(1) * total - (of_true * of_said).sum(1)) / spread, 0.0)
    return np.stack([macro, mcc])


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); never outside 0 to 1, and right for few texts too."""
    share, spread = hits / total, _Z * _Z / total
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * np.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
