"""From a head's logits to what a person asked for: probabilities, labels, predictions. Numpy only, no torch.

`head` is the head's resolved configuration, `names` the labels in the order of its outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.calibration.calibration import Calibration
from textcnn.kernels.softmax import softmax
from textcnn.types import SHARES, Floats, LabelScore, Prediction, task_labels

Head = Mapping[str, Any]
THRESHOLD = 0.5  # of a label for which training found none


def is_single(head: Head) -> bool:
    """Whether every text has exactly one label."""
    return head["type"] not in ("multi_label", "multi_task")


def probabilities(logits: Floats, head: Head, calibration: Calibration) -> Floats:
    """float32[B, C]; each row sums to 1, with a multi_task head for each task, with multi_label not at all.

    Where a text has exactly one label, they are calibrated.
    """
    if is_single(head):
        return calibration.probabilities(logits)
    if head["type"] == "multi_label":
        exact = logits.astype(np.float64)
        return (0.5 * (1.0 + np.tanh(0.5 * exact))).astype(np.float32)
    return np.concatenate([softmax(logits[:, part]) for part in _parts(head, logits.shape[1])], axis=1)


def decide(found: Floats, names: Sequence[str], head: Head) -> list[Any]:
    """From probabilities: the label of each text; multi_label a tuple of labels; multi_task {task: label}."""
    if head["type"] == "multi_label":
        given = found >= thresholds(head, len(names))
        return [tuple(names[i] for i in np.flatnonzero(row).tolist()) for row in given]
    if head["type"] != "multi_task":
        return [names[index] for index in found.argmax(1).tolist()]
    columns = [
        [labels[index] for index in found[:, part].argmax(1).tolist()]
        for labels, part in zip(task_labels(names).values(), _parts(head, len(names)), strict=True)
    ]
    return [dict(zip(head["tasks"], row, strict=True)) for row in zip(*columns, strict=True)]


def rivals(head: Head, count: int) -> npt.NDArray[np.bool_]:
    """Which labels exclude which, bool[count, count]: all others of the same softmax; none with a multi_label head."""
    exclude = np.zeros((count, count), bool)
    if head["type"] != "multi_label":
        for part in _parts(head, count):
            exclude[part, part] = True
        np.fill_diagonal(exclude, False)
    return exclude


def predictions(found: Floats, names: Sequence[str], head: Head, top_k: int | None) -> list[Prediction]:
    """From probabilities: of a multi_label head with the labels over their thresholds, of multi_task with all tasks."""
    if head["type"] == "multi_task":
        tasks = task_labels(names)
        columns = {
            task: _tops(found[:, part], labels, top_k)
            for (task, labels), part in zip(tasks.items(), _parts(head, len(names)), strict=True)
        }
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [
            Prediction(next(iter(row.values())), tasks={task: Prediction(top) for task, top in row.items()})
            for row in rows
        ]
    tops = _tops(found, names, top_k)
    if head["type"] == "hierarchy":
        above = nodes_above(found, names, head)
        return [Prediction(top, levels=levels) for top, levels in zip(tops, above, strict=True)]
    if head["type"] != "multi_label":
        return [Prediction(top) for top in tops]
    least = thresholds(head, len(names))
    over = np.where(found >= least, found, -1.0)
    return [
        Prediction(top, labels=tuple(score for score in every if score.probability >= 0))
        for top, every in zip(tops, _tops(over, names, None), strict=True)
    ]


def expected(answers: Sequence[Prediction]) -> dict[str, Any]:
    """How many texts got each label, how many none, and a histogram of the confidences over SHARES.

    Of validation texts, it is what a service holds its texts against. With several tasks each counts.
    """
    labels = Counter(label for answer in answers for label in answer.given)
    places = np.searchsorted(SHARES, [share for answer in answers for share in answer.confidences])
    return {
        "texts": len(answers),
        "labels": dict(sorted(labels.items())),
        "unlabelled": sum(not answer.given for answer in answers),
        "confidence": np.bincount(np.minimum(places, len(SHARES) - 1), minlength=len(SHARES)).tolist(),
    }


def nodes_above(found: Floats, names: Sequence[str], head: Head) -> list[tuple[LabelScore, ...]]:
    """The nodes above the most probable path of each text, from the root, with their probabilities."""
    best = found.argmax(1)
    columns = []
    for depth, nodes in enumerate(head["levels"], start=1):
        of_class = np.array(nodes, np.int64)
        mass = (found * (of_class[best][:, None] == of_class)).sum(1)
        labels = [node_of(names[index], head["separator"], depth) for index in best.tolist()]
        columns.append([LabelScore(label, min(p, 1.0)) for label, p in zip(labels, mass.tolist(), strict=True)])
    return list(zip(*columns, strict=True)) if columns else [()] * len(found)


def node_of(label: str, separator: str, depth: int) -> str:
    """The first `depth` parts of a path; a shorter path is its own node."""
    return separator.join(label.split(separator)[:depth])


def tree_levels(names: Sequence[str], separator: str) -> list[list[int]]:
    """For each level above the deepest, the number of the node to which each label belongs."""
    levels = []
    for depth in range(1, max(name.count(separator) for name in names) + 1):
        numbers: dict[str, int] = {}
        levels.append([numbers.setdefault(node_of(name, separator, depth), len(numbers)) for name in names])
    return levels


def thresholds(head: Head, count: int) -> Floats:
    """The probability from which each label of a multi_label head is given, float32[count]."""
    return np.array(head.get("thresholds") or [THRESHOLD] * count, np.float32)


def best_thresholds(found: Floats, target: Floats) -> list[float]:
    """For each label the threshold with the highest F1, probabilities float32[N, C] against 0 and 1.

    Half way between two different probabilities; THRESHOLD for a label that stands in fewer than three texts.
    """
    chosen = []
    for probability, wanted in zip(found.T.astype(np.float64), target.T, strict=True):
        order = np.argsort(-probability, kind="stable")
        ranked, after = probability[order], np.append(probability[order][1:], 0.0)
        hits = np.cumsum(wanted[order])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + wanted.sum())
        f1[:-1][ranked[1:] == ranked[:-1]] = -1.0  # no threshold is between equals
        best = int(f1.argmax())
        chosen.append(float((ranked[best] + after[best]) / 2) if wanted.sum() >= 3 else THRESHOLD)
    return chosen


def most_probable(found: Floats, top_k: int | None) -> tuple[npt.NDArray[np.int64], Floats]:
    """The `top_k` best classes of each row (None: all) and their probabilities, best first, ties in order of index."""
    if top_k == 1:  # without sorting all the others; a maximum along rows takes numpy ten times as long as an index
        first = found.argmax(1)
        return first[:, None], found[np.arange(len(found)), first][:, None]
    best = np.argsort(-found, axis=1, kind="stable")[:, :top_k]
    return best, np.take_along_axis(found, best, axis=1)


def _tops(found: Floats, names: Sequence[str], top_k: int | None) -> list[tuple[LabelScore, ...]]:
    best, scores = most_probable(found, top_k)
    if top_k == 1:
        pairs = zip(best[:, 0].tolist(), scores[:, 0].tolist(), strict=True)
        return [(LabelScore(names[index], score),) for index, score in pairs]
    return [
        tuple(LabelScore(names[index], score) for index, score in zip(row, row_scores, strict=True))
        for row, row_scores in zip(best.tolist(), scores.tolist(), strict=True)
    ]


def _parts(head: Head, count: int) -> list[slice]:
    """The outputs of each softmax."""
    ends = np.cumsum(list(head["tasks"].values()) if head["type"] == "multi_task" else [count]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
