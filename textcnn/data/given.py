"""What a caller hands over, as lists: from arrays, columns of data frames or of Arrow, any sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textcnn.errors import DataError


def as_list(values: Sequence[Any], what: str) -> list[Any]:
    """A list; `what` is the name of one of them. Raises DataError for one string and for what is no sequence."""
    if isinstance(values, str):
        raise DataError(f"{what}s is one string; give a list of {what}s, e.g. [{what}]")
    try:
        return list(values.to_pylist() if hasattr(values, "to_pylist") else values)
    except TypeError:
        raise DataError(f"{what}s is {values!r} ({type(values).__name__}), expected a list of strings") from None


def as_strings(values: Sequence[Any], what: str) -> list[str]:
    """The same. Raises DataError for what is no string, too."""
    strings = as_list(values, what)
    for place, value in enumerate(strings):
        if not isinstance(value, str):
            raise DataError(f"{what} {place} is {value!r} ({type(value).__name__}), expected a string")
    return strings
