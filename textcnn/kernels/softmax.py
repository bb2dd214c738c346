"""Softmax with temperature, each row by itself: the same bits alone and in any batch. Numpy only."""

from __future__ import annotations

import numpy as np

from textcnn.kernels.native import native
from textcnn.types import Floats


def softmax(logits: Floats, *, temperature: float = 1.0, doubt: float = 0.0) -> Floats:
    """Of `logits` float32[B, C], divided by the temperature; `doubt` of it is spread over all classes alike.

    Computed in double precision, returned as float32[B, C]; each row sums to 1.
    """
    module = native()
    if module is None or not logits.shape[1]:
        return softmax_ref(logits, temperature=temperature, doubt=doubt)
    out = np.empty(logits.shape, np.float32)
    module.softmax(
        np.ascontiguousarray(logits, np.float32), out, logits.shape[1], 1.0 / temperature, doubt, 0, len(logits)
    )
    return out


def softmax_ref(logits: Floats, *, temperature: float = 1.0, doubt: float = 0.0) -> Floats:
    """The same in plain numpy."""
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True, initial=-np.inf)
    exact *= 1.0 / temperature
    np.exp(exact, out=exact)
    exact *= (1.0 - doubt) / exact.sum(axis=1, keepdims=True)
    exact += doubt / max(exact.shape[1], 1)
    return exact.astype(np.float32)
