"""Texts as a caller hands them over: strings, or records of several strings each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from textcnn.data.given import as_list
from textcnn.errors import DataError
from textcnn.types import TEXT_BREAK, TextViews, join_texts, split_texts

# A text is a string; where columns are encoded each by itself it is a record: (text, text), or join_texts of that.
Texts = Sequence[str] | Sequence[Sequence[str]]
SEVERAL = (tuple, list, np.ndarray)


def text_strings(values: Sequence[Any], count: int = 1) -> Sequence[str]:
    """One string a text: as it is, or `count` of them joined. Raises DataError for anything else, naming the place."""
    if isinstance(values, TextViews) and count == 1:
        return values
    strings = as_list(values, "text")
    for place, value in enumerate(strings):
        if count > 1 or not isinstance(value, str):
            strings[place] = _joined(place, value, count)
    return strings


def _joined(place: int, value: Any, count: int) -> str:
    if count > 1 and isinstance(value, SEVERAL) and all(isinstance(part, str) for part in value):
        found, record = len(value), join_texts(list(value))
    elif count > 1 and isinstance(value, str):
        found, record = value.count(TEXT_BREAK) + 1, value
    else:
        hint = ""
        if isinstance(value, SEVERAL) and count == 1:
            hint = "; texts of several columns are for a model with text.segments 'columns' (preset two_towers)"
        wanted = "a string" if count == 1 else f"{count} strings"
        raise DataError(f"text {place} is {value!r} ({type(value).__name__}), expected {wanted}{hint}")
    if found != count:
        texts = "one text" if found == 1 else f"{found} texts"
        raise DataError(f"text {place} is {texts}, expected {count} together: ({', '.join(['text'] * count)})")
    return record


def texts_of(value: Any) -> int:
    """How many texts a record has."""
    return len(value) if isinstance(value, SEVERAL) else len(split_texts(value)) if isinstance(value, str) else 1
