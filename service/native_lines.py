"""Compiled code between JSON and the model (_lines.c), where there is some: texts in, ranked labels out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, overload

from textcnn.types import TextViews

log = logging.getLogger(__name__)

# As _lines.c states it: CRC-32 of the names and the parameters there, and of textcnn/text/_texts.h.
INTERFACE = "ac15b6bd"


@cache
def native() -> ModuleType | None:
    """The compiled module, or None; the reason is logged once, for streams and many texts are slower then."""
    if os.environ.get("TEXTCNN_NATIVE") == "off":
        return None  # which the kernels say
    try:
        from service import _lines
    except ImportError as error:
        log.warning("service._lines is not compiled (%s); reinstall textcnn where there is a C compiler", error)
        return None
    if getattr(_lines, "INTERFACE", None) != INTERFACE:
        log.warning("%s was compiled from other sources than these; pip install --editable . again", _lines.__file__)
        return None
    return _lines


class LineTexts(TextViews):
    """The texts of `lines`, a service._lines.Lines."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines

    @property
    def views(self) -> Any:
        return self._lines.views

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self._lines[place] for place in range(*index.indices(len(self)))]
        return str(self._lines[index])
