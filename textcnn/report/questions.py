"""What a model is asked about each text, as the report measures it: one label, several, or one for each task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from textcnn.answers import decide
from textcnn.classifier import TextClassifier
from textcnn.data.label_rows import LabelRows
from textcnn.data.labels import LabelSet
from textcnn.data.readers import Examples
from textcnn.errors import DataError
from textcnn.evaluation.by_head import evaluate_rows, level_accuracies, scale_figures
from textcnn.evaluation.curves import precision_recall, risk_coverage, roc
from textcnn.evaluation.metrics import confusion, encode_labels, evaluate_predictions, wilson
from textcnn.evaluation.reliability import diagram, pair_diagram
from textcnn.types import BETWEEN, Bools, Floats, Offsets, task_labels

NOTHING = "(none)"


class Cell(NamedTuple):
    """A text in a cell of the confusion matrix; how sure the model was there."""

    true: int
    said: int
    row: int
    probability: float


class Mistake(NamedTuple):
    """A text with another answer than its own; `about` is the label that was given wrongly or, if `missed`, not."""

    row: int
    label: str
    predicted: str
    probability: float
    about: str
    missed: bool = False


class Question:
    """One label a text: of the whole model, or of one `task`. `rows` int64[n] are those of the texts that have one."""

    def __init__(
        self,
        model: TextClassifier,
        labels: Sequence[str],
        rows: Offsets,
        probabilities: Floats,
        names: Sequence[str],
        task: str = "",
    ) -> None:
        self.task = task
        self.rows = rows
        self._model = model
        self._labels = labels
        self._probabilities = probabilities
        self._names = names
        self._every, self._truth, self._known = encode_labels(labels, names)
        self._said: Offsets = probabilities.argmax(axis=1)

    @cached_property
    def right(self) -> Bools:
        right: Bools = self._said == self._truth
        return right

    @property
    def _confidence(self) -> Floats:
        best: Floats = self._probabilities.max(axis=1)
        return best

    @property
    def cells(self) -> list[Cell]:
        columns = (self._truth, self._said, self.rows, self._confidence)
        return [Cell(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]

    @property
    def mistakes(self) -> list[Mistake]:
        return [
            Mistake(row, self._every[true], self._names[said], probability, self._names[said])
            for true, said, row, probability in self.cells
            if true != said
        ]

    def figures(self) -> dict[str, Any]:
        """Figures, curves and the confusion matrix, as plain values."""
        of_known, targets = self._probabilities[self._known], self._truth[self._known]
        truth = targets[:, None] == np.arange(len(self._names))
        measured = evaluate_predictions(self._labels, self._probabilities, self._names)
        head = self._model.head
        if head["type"] == "hierarchy":
            measured["levels"] = level_accuracies(self._labels, self._probabilities, self._names, head)
        if head["type"] == "ordinal":
            measured["scale"] = scale_figures(self._labels, self._probabilities, self._names)
        return {
            "labels": self._every,
            "figures": measured,
            "confusion": confusion(self._truth, self._said, len(self._every)).tolist(),
            "reliability": diagram(of_known, targets) if len(targets) else [],
            "roc": roc(of_known, truth, self._names),
            "precision_recall": precision_recall(of_known, truth, self._names),
            "risk_coverage": risk_coverage(self._confidence, self.right),
        }

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The answer to each text, as behavioural checks compare it."""
        answers = self._model.predict(texts)
        return [answer[self.task] for answer in answers] if self.task else answers

    def output(self, label: str) -> str:
        """The name of a label among all outputs of the model."""
        return f"{self.task}{BETWEEN}{label}" if self.task else label

    def columns(self, examples: Examples) -> list[str]:
        """Those that hold the answers."""
        return [self.task or examples.label_column]


class SeveralLabels(Question):
    """Any number of labels a text. In the confusion matrix a label that was missed meets those given wrongly."""

    def __init__(self, model: TextClassifier, rows: LabelRows, probabilities: Floats) -> None:
        self.task = ""
        self.rows = np.arange(len(rows))
        self._model = model
        self._several = rows
        self._probabilities = probabilities
        self._names = model.labels
        unknown = sorted({label for row in rows.rows for label in row} - set(model.labels))
        self._every = [*model.labels, *unknown, NOTHING]
        self._given: list[tuple[str, ...]] = decide(probabilities, model.labels, model.head)

    @cached_property
    def right(self) -> Bools:
        pairs = zip(self._several.rows, self._given, strict=True)
        return np.array([set(true) == set(given) for true, given in pairs], bool)

    @cached_property
    def cells(self) -> list[Cell]:
        places = {name: place for place, name in enumerate(self._every)}
        nothing = places[NOTHING]
        found = []
        for row, (true, given) in enumerate(zip(self._several.rows, self._given, strict=True)):
            sure = [*self._probabilities[row].tolist(), *[0.0] * (len(self._every) - len(self._names))]
            for label in set(true) & set(given):
                found.append(Cell(places[label], places[label], row, sure[places[label]]))
            missed, wrong = ([places[x] for x in a if x not in b] for a, b in ((true, given), (given, true)))
            found += [Cell(a, b, row, sure[b]) for a in missed or [nothing] for b in wrong]
            found += [Cell(a, nothing, row, 1.0 - sure[a]) for a in missed if not wrong]
            if not true and not given:
                found.append(Cell(nothing, nothing, row, 1.0 - max(sure)))
        return found

    @property
    def mistakes(self) -> list[Mistake]:
        places = {name: place for place, name in enumerate(self._names)}
        found = []
        for row, (true, given) in enumerate(zip(self._several.rows, self._given, strict=True)):
            sure = self._probabilities[row]
            wrong = [(float(sure[places[x]]), x, False) for x in given if x not in true]
            missed = [(1.0 - float(sure[places[x]]), x, True) for x in true if x in places and x not in given]
            if worst := max(wrong + missed, default=None):
                found.append(Mistake(row, _named(true), _named(given), *worst))
        return found

    def figures(self) -> dict[str, Any]:
        names = LabelSet(tuple(self._names))
        measured = evaluate_rows(self._several, self._probabilities, names, self._model.head)
        measured["intervals"] = {"accuracy": list(wilson(int(self.right.sum()), len(self.right)))}
        truth = np.array([[name in row for name in self._names] for row in self._several.rows], bool)
        counts = np.zeros((len(self._every), len(self._every)), np.int64)
        np.add.at(counts, tuple(np.array([cell[:2] for cell in self.cells], np.int64).reshape(-1, 2).T), 1)
        return {
            "labels": self._every,
            "figures": measured,
            "confusion": counts.tolist(),
            "reliability": pair_diagram(self._probabilities, truth),
            "roc": roc(self._probabilities, truth, self._names),
            "precision_recall": precision_recall(self._probabilities, truth, self._names),
            "risk_coverage": None,
        }

    def predict(self, texts: Sequence[str]) -> list[str]:
        return [_named(labels) for labels in self._model.predict(texts)]


def _named(labels: Sequence[str]) -> str:
    return " | ".join(labels) or NOTHING


def questions_of(model: TextClassifier, rows: LabelRows, probabilities: Floats) -> list[Question]:
    """The questions that a model answers. Raises DataError for a task of which no text has a label."""
    if rows.many:
        return [SeveralLabels(model, rows, probabilities)]
    if not rows.tasks:
        return [Question(model, [row[0] for row in rows.rows], np.arange(len(rows)), probabilities, model.labels)]
    questions, start = [], 0
    for task, names in task_labels(model.labels).items():
        column = rows.column(task)
        known = np.array([row for row, label in enumerate(column) if label], np.int64)
        if not len(known):
            raise DataError(f"no row has a label of task {task!r}")
        own = probabilities[known, start : start + len(names)]
        start += len(names)
        questions.append(Question(model, [column[row] for row in known.tolist()], known, own, names, task))
    return questions
