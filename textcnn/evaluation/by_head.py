"""Figures of a classifier whose texts have any number of labels, or one of each of several tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from textcnn.answers import node_of, thresholds
from textcnn.data.label_rows import LabelRows
from textcnn.data.labels import LabelSet
from textcnn.errors import DataError, needs_extra
from textcnn.evaluation.metrics import areas, evaluate_predictions
from textcnn.types import Floats, task_labels


def evaluate_rows(rows: LabelRows, probabilities: Floats, names: LabelSet, head: dict[str, Any]) -> dict[str, Any]:
    """As `evaluate_predictions`; with several labels a text, exactly all of them count as right.

    Then `samples_f1` is the mean F1 of a text's labels, `ece` the calibration error of the labels' probabilities, and
    the areas are means over the labels that some texts have and others have not.

    With tasks, `tasks` has the figures of each on the texts that have its label, and `accuracy` and `macro_f1` are
    their means.
    """
    if rows.tasks:
        return _tasks(rows, probabilities, names)
    return _many(rows, probabilities, names, head)


def level_accuracies(
    labels: Sequence[str], probabilities: Floats, names: Sequence[str], head: dict[str, Any]
) -> list[float]:
    """Of each inner level, from the root, the share of texts whose most probable node is that above their label."""
    shares = []
    for depth, nodes in enumerate(head["levels"], start=1):
        of_class = np.array(nodes, np.int64)
        mass = np.zeros((len(probabilities), int(of_class.max()) + 1))
        np.add.at(mass.T, of_class, probabilities.T)
        node_names = dict(zip(nodes, (node_of(name, head["separator"], depth) for name in names), strict=True))
        found = [node_names[node] for node in mass.argmax(1).tolist()]
        right = [node_of(label, head["separator"], depth) == node for label, node in zip(labels, found, strict=True)]
        shares.append(sum(right) / len(right))
    return shares


def scale_figures(labels: Sequence[str], probabilities: Floats, names: Sequence[str]) -> dict[str, float] | None:
    """How far ordered labels are missed, in steps: the mean, the share within one step, and quadratic kappa.

    Cohen's kappa weighed by the squared distance (Cohen 1968): 1 is best, 0 what chance gives. None where no text has a
    label of the scale.
    """
    from sklearn.metrics import cohen_kappa_score

    places = {name: place for place, name in enumerate(names)}
    known = [row for row, label in enumerate(labels) if label in places]
    if not known:
        return None
    truth, said = np.array([places[labels[row]] for row in known]), probabilities[known].argmax(axis=1)
    steps = np.abs(truth - said)
    one = len({*truth.tolist(), *said.tolist()}) == 1  # then kappa is 0 / 0
    return {
        "mean_distance": float(steps.mean()),
        "within_one": float((steps <= 1).mean()),
        "quadratic_kappa": 0.0 if one else float(cohen_kappa_score(truth, said, weights="quadratic")),
    }


def _tasks(rows: LabelRows, probabilities: Floats, names: LabelSet) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    start = 0
    for task, labels in task_labels(names.names).items():
        own = probabilities[:, start : start + len(labels)]
        start += len(labels)
        if task not in rows.tasks:
            raise DataError(f"there are no labels of task {task!r}; found {', '.join(rows.tasks)}")
        column = rows.column(task)
        known = [row for row, label in enumerate(column) if label]
        figures[task] = evaluate_predictions([column[row] for row in known], own[known], labels)
    means = {key: float(np.mean([part[key] for part in figures.values()])) for key in ("accuracy", "macro_f1")}
    losses = [part["loss"] for part in figures.values() if part["loss"] is not None]
    return {
        "texts": len(rows),
        **means,
        "loss": float(np.mean(losses)) if losses else None,
        "unknown_labels": sum(part["unknown_labels"] for part in figures.values()),
        "tasks": figures,
    }


def _many(rows: LabelRows, probabilities: Floats, names: LabelSet, head: dict[str, Any]) -> dict[str, Any]:
    with needs_extra("evaluation", "train"):
        from sklearn.metrics import precision_recall_fscore_support
    from textcnn.evaluation.reliability import TINY, calibration_error, error_by_chance

    if not len(rows):
        raise DataError("there is no row to evaluate")
    known = set(names.names)
    unknown = np.array([not known.issuperset(row) for row in rows.rows])
    of_known = LabelRows(tuple(tuple(label for label in row if label in known) for row in rows.rows), many=True)
    truth = of_known.encode(names) > 0.5
    least = thresholds(head, len(names))
    given = probabilities >= least
    right = (given == truth).all(1) & ~unknown
    both = (given & truth).sum(1)
    either = given.sum(1) + np.array([len(set(row)) for row in rows.rows])
    of_truth = np.where(truth, probabilities, 1.0 - probabilities)
    micro = precision_recall_fscore_support(truth, given, average="micro", zero_division=0.0)
    precision, recall, f1, support = precision_recall_fscore_support(truth, given, zero_division=0.0)
    return {
        "texts": len(rows),
        "accuracy": float(right.mean()),
        "samples_f1": float(np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0).mean()),
        "ece": calibration_error(probabilities.ravel(), truth.ravel()),
        "ece_by_chance": error_by_chance(probabilities.ravel()),
        **areas(probabilities, truth),
        "loss": float(-np.log(np.maximum(of_truth, TINY)).mean()),
        "micro_f1": float(micro[2]),
        "macro_f1": float(f1[support > 0].mean()) if support.any() else 0.0,
        "unknown_labels": int(unknown.sum()),
        "labels": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "texts": int(n), "threshold": float(t)}
            for name, p, r, f, n, t in zip(names.names, precision, recall, f1, support, least, strict=True)
        },
    }
