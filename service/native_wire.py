"""Compiled code between JSON and the model (_wire.c), where there is some: texts in, ranked labels out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from textcnn.types import TextViews

log = logging.getLogger(__name__)

# As _wire.c states it: CRC-32 of the names and the parameters there, and of textcnn/text/_texts.h.
INTERFACE = "63a043a4"


@cache
def native() -> ModuleType | None:
    """The compiled module, or None; the reason is logged once, for streams and many texts are slower then."""
    if os.environ.get("TEXTCNN_NATIVE") == "off":
        return None  # which the kernels say
    try:
        from service import _wire
    except ImportError as error:
        log.warning("service._wire is not compiled (%s); reinstall textcnn where there is a C compiler", error)
        return None
    if getattr(_wire, "INTERFACE", None) != INTERFACE:
        log.warning("%s was compiled from other sources than these; pip install --editable . again", _wire.__file__)
        return None
    return _wire


class JsonTexts(TextViews):
    """The texts of `texts`: a service._wire.Texts or Lines."""

    def __init__(self, texts: Any) -> None:
        self._texts = texts

    @property
    def views(self) -> Any:
        return self._texts.views

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.frombuffer(self._texts.lengths, np.int64)

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if not isinstance(index, slice):
            return str(self._texts[index])
        begin, end, step = index.indices(len(self))
        if step == 1:
            return JsonTexts(self._texts.part(begin, max(begin, end)))
        return [self._texts[place] for place in range(begin, end, step)]


def texts_apart(body: bytes) -> tuple[JsonTexts, bytes] | None:
    """The strings of the array `texts` of an object in JSON, and the object with an empty one in its place.

    That one has still to be read; it is as right or wrong as the whole. None where there is no such array.
    """
    compiled = native()
    found = compiled.texts(body) if compiled else None
    return (JsonTexts(found[0]), found[1]) if found else None
