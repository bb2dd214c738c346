"""A file of safetensors read where it lies: a large model is in memory once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

DTYPES = {"BOOL": "?", "U8": "u1", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}


def tensors(content: memoryview) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a safetensors file, by name, lying in `content` itself.

    The library's own reader copies them. Raises ValueError for what is no such file
    (https://huggingface.co/docs/safetensors, "Format").
    """
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= len(content):
        raise ValueError(f"it has {len(content):,} bytes and says that its header ends after {start:,}")
    found = {}
    for name, entry in json_object(content[8:start]).items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), entry["data_offsets"]
            if not (min(shape, default=0) >= 0 and 0 <= begin <= end <= len(content) - start):
                raise ValueError
            found[name] = np.require(
                np.frombuffer(content[start + begin : start + end], dtype).reshape(shape), None, "A"
            )
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"its tensor {name!r} is not as a safetensors header states it: {entry}") from None
    return found


def json_object(content: memoryview) -> dict[str, Any]:
    """The object that some JSON holds. Raises ValueError for anything else."""
    value = json.loads(str(content, "utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"it holds {type(value).__name__}, expected a JSON object")
    return value
