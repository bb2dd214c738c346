"""The labels of a task: their order, their indices, and whether they can be learned at all."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from textcnn.data.columns import shorten
from textcnn.errors import LabelError
from textcnn.registry import nearest
from textcnn.types import Offsets

# More labels than this, and more than half as many as rows: rather the texts than the labels.
MANY_LABELS = 50
SHOWN = 10
SEPARATORS = ("|", ";", ",")

_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"-?\d{1,30}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Distinct labels in order, numbers by value, others by their characters. A label's index is its place.

    `counts` are the rows of each label where they are known, else empty; they do not matter for equality. `integers`
    are names of what a Python program gave as integers, and gets back as such.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...] = field(default=(), compare=False)
    integers: bool = field(default=False, compare=False)

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> LabelSet:
        """The labels that occur, with their counts. Raises LabelError for what is no Unicode text."""
        counts = Counter(labels)
        broken = sorted(name for name in counts if _SURROGATE.search(name))
        if broken:
            raise LabelError(f"label {broken[0]!r} holds half of a surrogate pair, which no file can hold")
        numeric = all(_NUMBER.fullmatch(name) for name in counts)
        names = sorted(counts, key=lambda name: (float(name) if numeric else 0.0, name))
        return cls(tuple(names), tuple(counts[name] for name in names))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, labels: Sequence[str]) -> Offsets:
        """The index of each label, int64[N]. Raises LabelError that names the unknown ones."""
        places = {name: index for index, name in enumerate(self.names)}
        indices = np.array([places.get(label, -1) for label in labels], np.int64)
        if (indices < 0).any():
            raise LabelError(self._unknown(sorted({label for label in labels if label not in places})))
        return indices

    def decode(self, indices: npt.ArrayLike) -> list[str]:
        """The label at each index."""
        return [self.names[index] for index in np.asarray(indices, np.int64).tolist()]

    def _unknown(self, unknown: Sequence[str]) -> str:
        found = "; ".join(f"{shorten(label)!r}{nearest(label, self.names)}" for label in unknown[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        return f"labels that training has not seen: {found}{more}. Known are {listing(self.names)}"

    def to_json(self) -> str:
        values = {"names": self.names, "counts": self.counts, **({"integers": True} if self.integers else {})}
        return json.dumps(values, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LabelSet:
        """The inverse of `to_json`. Raises LabelError for anything else."""
        try:
            values = json.loads(text)
            names, counts = tuple(values["names"]), tuple(values["counts"])
            integers = values.get("integers", False)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LabelError('not a label set; expected {"names": [...], "counts": [...]}') from None
        distinct = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
        if not distinct or len(counts) not in (0, len(names)) or not all(isinstance(count, int) for count in counts):
            raise LabelError("not a label set; expected different strings as names, and one count each or none")
        if integers is not False and (integers is not True or not all(map(_INTEGER.fullmatch, names))):
            raise LabelError("not a label set; integers are true for names that are written as such, or not there")
        return cls(names, counts, integers)


def check_trainable(labels: Sequence[str]) -> None:
    """Raises LabelError for what no classifier can learn: one label or none, or mostly labels that have one row.

    A few of those are common, and learned from; see `once`.
    """
    counts = Counter(labels)
    if len(counts) > MANY_LABELS and len(counts) > len(labels) / 2:
        if all(map(_NUMBER.fullmatch, counts)):
            raise LabelError(
                f"{len(counts)} different numbers in {len(labels)} rows, such as {shorten(labels[0])!r}: a classifier "
                "gives one of a few labels. Cut the numbers into ranges (low, high), or name another column with "
                "--label-column"
            )
        raise LabelError(
            f"{len(counts)} different labels in {len(labels)} rows, such as {shorten(labels[0])!r}: is that the text "
            "column? Name the column of the labels with --label-column"
        )
    if len(counts) < 2:
        found = f"only {shorten(labels[0])!r}" if labels else "none"
        raise LabelError(f"training needs at least 2 different labels, found {found}")
    single = once(counts)
    hint = _several_hint(single, counts)
    if len(single) > len(labels) / 2 or hint:
        raise LabelError(
            f"{len(single)} of {len(counts)} labels have only one row, which cannot be both learned and checked: "
            f"{listing(single)}. Add rows, join them with another label, or remove them{hint}"
        )


def once(counts: Mapping[str, int]) -> list[str]:
    """The labels with a single row, sorted. It is trained on: held out, it would teach nothing."""
    return sorted(label for label, count in counts.items() if count == 1)


def _several_hint(rare: Sequence[str], known: Collection[str]) -> str:
    """Labels that are each several labels in one string are seldom seen twice, and their parts often are."""
    for separator in SEPARATORS:
        parts = Counter(part.strip() for name in known for part in name.split(separator))
        joined = [
            name
            for name in rare
            if separator in name and any(parts[part.strip()] > 1 for part in name.split(separator))
        ]
        if len(joined) > 1 and len(joined) > len(rare) / 2:
            return f". If a row may have several labels, joined by {separator!r}: --label-separator {separator!r}"
    return ""


def listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(shorten(name)) for name in names[:SHOWN]) + more
