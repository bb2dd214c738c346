"""Figures of parts of the texts: by length, and by any column of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from textcnn.evaluation.metrics import wilson
from textcnn.types import Bools, Exact, Offsets

PARTS = 5
# A column with more different values than this is cut into ranges, or left out where it holds no numbers.
MOST_VALUES = 20


def by_length(lengths: Offsets, right: Bools) -> list[dict[str, Any]]:
    """Five parts with about equally many texts each, by their number of tokens."""
    return _ranges(lengths.astype(np.float64), right, "{:,.0f}")


def by_columns(table: pa.Table, right: Bools, *, without: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Of every column but those, by its values; numbers with many values in five ranges, other such columns not."""
    found = {}
    left_out = set(without)
    for name, column in zip(table.column_names, table.columns, strict=True):  # there may be two of a name
        if not name.strip() or name in left_out or pa.types.is_nested(column.type):
            continue
        values = column.to_pylist()
        if len(set(values)) <= MOST_VALUES:
            slices = by_value(["(none)" if value is None else str(value) for value in values], right)
        elif numbers := _numbers(values):
            slices = _ranges(np.array(numbers), right, "{:,.4g}")
        else:
            continue
        if len(slices) > 1:
            found[name] = slices
    return found


def by_value(values: Sequence[str], right: Bools) -> list[dict[str, Any]]:
    """A part for each value, frequent ones first."""
    array = np.array(values, object)
    return [_part(value, right[array == value]) for value, _ in Counter(values).most_common()]


def _ranges(values: Exact, right: Bools, form: str) -> list[dict[str, Any]]:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1), method="lower"))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    slices = []
    for part in range(max(len(edges) - 1, 1)):
        inside = place == part
        if inside.any():
            low, high = form.format(values[inside].min()), form.format(values[inside].max())
            slices.append(_part(low if low == high else f"{low} to {high}", right[inside]))
    return slices


def _numbers(values: Sequence[Any]) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return []


def _part(name: str, right: Bools) -> dict[str, Any]:
    low, high = wilson(int(right.sum()), len(right))
    return {"name": name, "texts": len(right), "accuracy": float(right.mean()), "low": low, "high": high}
