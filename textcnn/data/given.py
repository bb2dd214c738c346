"""What a caller hands over, as lists: from arrays, columns of data frames or of Arrow, any sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from numbers import Integral
from typing import Any

from textcnn.errors import DataError


def as_list(values: Sequence[Any], what: str) -> list[Any]:
    """A list; `what` is the name of one of them.

    Raises DataError for one string, for what is no sequence, and for what has another order than that of its rows.
    """
    if type(values) is list:  # of what else it could be nothing needs to be asked
        return values.copy()
    if isinstance(values, str):
        raise DataError(f"{what}s is one string; give a list of {what}s, e.g. [{what}]")
    if hasattr(values, "columns"):
        raise DataError(f"{what}s is a table ({type(values).__name__}); give one of its columns, as {what}s[name]")
    if isinstance(values, Mapping | Set):
        raise DataError(f"{what}s is a {type(values).__name__}, expected a list")
    shape: tuple[int, ...] = getattr(values, "shape", ())
    if len(shape) == 2 and shape[1] == 1:
        raise DataError(f"{what}s has the shape {shape[0]} x 1, expected one dimension: {what}s.ravel()")
    try:
        return list(values.to_pylist() if hasattr(values, "to_pylist") else values)
    except TypeError:
        raise DataError(f"{what}s is {values!r} ({type(values).__name__}), expected a list of strings") from None


def as_strings(values: Sequence[Any], what: str) -> list[str]:
    """The same. Raises DataError for what is no string, too."""
    strings = as_list(values, what)
    for place, value in enumerate(strings):
        if not isinstance(value, str):
            raise DataError(
                f"{what} {place} is {value!r} ({type(value).__name__}), expected a string{_hint(value, what)}"
            )
    return strings


def is_integer(value: Any) -> bool:
    """Python's or numpy's, but no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def as_pair(values: Any) -> tuple[list[Any], Any] | None:
    """Validation texts and their labels, or None. Raises DataError."""
    if values is None:
        return None
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise DataError(
            f"validation is {values!r:.60}, expected (texts, labels); how much is held out where there are none says "
            "data.validation_fraction"
        )
    return as_list(values[0], "text"), values[1]


def _hint(value: Any, what: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "; leave out rows without one"
    return f"; give str({what}) for each" if hasattr(value, "__index__") else ""
