"""The labels of each text, as a task has them: one, any number, or one of each task; and as a network wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from textcnn.data.columns import shorten
from textcnn.data.given import as_list, as_strings, is_integer
from textcnn.data.labels import LabelSet, check_trainable
from textcnn.errors import DataError, LabelError
from textcnn.types import BETWEEN, Offsets, task_labels

# One string or integer a text; or with a multi_label head several strings, as a list or in one; or {task: one a text}.
Labels = Sequence[str] | Sequence[int] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]


def check_pairs(texts: int, labels: int) -> None:
    """Raises DataError where there are no texts, or another number of labels."""
    if texts != labels:
        raise DataError(f"{texts:,} texts and {labels:,} labels were given; there must be one label a text")
    if not texts:
        raise DataError("there are no texts, and no labels for them")


@dataclass(frozen=True, slots=True)
class LabelRows:
    """`rows[i]` are the labels of text i: one; with `many` any number; or one of each of `tasks`, "" where missing.

    `integers`: they were given as such.
    """

    rows: tuple[tuple[str, ...], ...]
    many: bool = False
    tasks: tuple[str, ...] = ()
    integers: bool = False

    @classmethod
    def read(cls, labels: Labels, head: str, separator: str = "|") -> LabelRows:
        """Labels in the form that suits the head; `separator` stands between several in one string.

        Raises DataError for another form.
        """
        if head == "multi_task":
            if not isinstance(labels, Mapping) or not labels:
                raise DataError("a multi_task head needs the labels as a mapping: {task: one label a text}")
            if wrong := next((task for task in labels if BETWEEN in task), None):
                raise DataError(
                    f"the name of task {wrong!r} has {BETWEEN!r} in it, which stands between a task and its label; "
                    "rename it"
                )
            columns = [as_strings(column, "label") for column in labels.values()]
            if len(set(map(len, columns))) > 1:
                sizes = ", ".join(f"{task} {len(column):,}" for task, column in zip(labels, columns, strict=True))
                raise DataError(f'every task needs one label a text ("" where there is none), found {sizes}')
            return cls(tuple(zip(*columns, strict=True)), tasks=tuple(labels))
        if isinstance(labels, Mapping):
            raise DataError(f"a {head} head needs a list of labels, found {type(labels).__name__}")
        if head == "multi_label":
            if len(getattr(labels, "shape", ())) == 2:
                raise DataError(
                    "the labels are a table of numbers, and a multi_label head needs the names of each text's labels "
                    "as a list; of a table of 0 and 1 MultiLabelBinarizer.inverse_transform makes such lists"
                )
            return cls(tuple(_several(row, separator) for row in as_list(labels, "label")), many=True)
        given = as_list(labels, "label")
        if integers := bool(given) and all(map(is_integer, given)):
            given = [str(int(label)) for label in given]
        return cls(tuple((label,) for label in as_strings(given, "label")), integers=integers)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int] | Offsets) -> LabelRows:
        return replace(self, rows=tuple(self.rows[row] for row in rows))

    @property
    def keys(self) -> list[str]:
        """One string a text, the same for the same labels: what a split is stratified by."""
        return ["\n".join(sorted(row) if self.many else row) for row in self.rows]

    def column(self, task: str) -> list[str]:
        place = self.tasks.index(task)
        return [row[place] for row in self.rows]

    @property
    def flat(self) -> list[str]:
        """Every label that stands somewhere; that of a task as "task=label"."""
        if not self.tasks:
            return [label for row in self.rows for label in row]
        return [f"{task}{BETWEEN}{label}" for task in self.tasks for label in self.column(task) if label]

    def label_set(self, order: Sequence[str] = ()) -> LabelSet:
        """All labels: in the given order, or sorted; those of a task stand together. Raises LabelError."""
        if self.tasks:
            sets = [LabelSet.from_labels(label for label in self.column(task) if label) for task in self.tasks]
            names = [f"{task}{BETWEEN}{name}" for task, of in zip(self.tasks, sets, strict=True) for name in of.names]
            return LabelSet(tuple(names), tuple(count for of in sets for count in of.counts))
        found = replace(LabelSet.from_labels(self.flat), integers=self.integers)
        if not order:
            return found
        if set(order) != set(found.names) or len(order) != len(found):
            raise LabelError(f"data.label_order is {', '.join(order)}, but the labels are {', '.join(found.names)}")
        counts = dict(zip(found.names, found.counts, strict=True))
        return replace(found, names=tuple(order), counts=tuple(counts[name] for name in order))

    def sizes(self) -> dict[str, int]:
        """How many different labels each task has."""
        return {task: len({label for label in self.column(task) if label}) for task in self.tasks}

    def check_trainable(self) -> None:
        """Raises LabelError for labels that cannot be learned, naming the task."""
        if not self.tasks:
            check_trainable(self.flat)
        for task in self.tasks:
            try:
                check_trainable([label for label in self.column(task) if label])
            except LabelError as error:
                raise LabelError(f"task {task!r}: {error}") from None

    def check_validates(self) -> None:
        """Raises LabelError where all texts have the same label: what is sure of it would be best."""
        if len(set(self.keys)) == 1:
            raise LabelError(
                f"the validation texts, {len(self):,} of them, all have the label {shorten(self.keys[0])!r}: the best "
                "epoch and the probabilities would be chosen by it alone. Give texts of every label (was a sorted file "
                "cut in two?), or no validation texts: then a share of the others is held out"
            )

    def encode(self, names: LabelSet) -> npt.NDArray[Any]:
        """int64[N]; with `many` float32[N, labels] of 0 and 1; with tasks int64[N, tasks], -1 where missing.

        Raises LabelError that names the labels not in `names`.
        """
        if self.tasks:
            return np.stack([self._encode_task(task, names) for task in self.tasks], 1)
        places = names.encode(self.flat)
        if not self.many:
            return places
        target = np.zeros((len(self.rows), len(names)), np.float32)
        target[np.repeat(np.arange(len(self.rows)), [len(row) for row in self.rows]), places] = 1.0
        return target

    def _encode_task(self, task: str, names: LabelSet) -> Offsets:
        own = LabelSet(task_labels(names.names)[task])
        column = self.column(task)
        found = np.full(len(column), -1, np.int64)
        known = [row for row, label in enumerate(column) if label]
        found[known] = own.encode([column[row] for row in known])
        return found


def pick_labels(labels: Labels, rows: Sequence[int] | Offsets) -> Labels:
    """The labels of some texts, in the same form."""
    if isinstance(labels, Mapping):
        return {task: [column[row] for row in rows] for task, column in labels.items()}
    return cast(Labels, [labels[row] for row in rows])


def _several(row: str | Sequence[str] | Set[str], separator: str) -> tuple[str, ...]:
    """Different labels in order of first sight."""
    if isinstance(row, Set):
        row = sorted(row, key=str)  # in an order that is the same everywhere
    labels = row.split(separator) if isinstance(row, str) else as_strings(row, "label")
    return tuple(dict.fromkeys(label.strip() for label in labels if label.strip()))
