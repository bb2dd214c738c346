"""A hash table of int64 keys, and a filter in front of it, as the compiled kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.kernels.native import native


class HashIndex:
    """Where each of `keys` int64[M], 0 or above, stands among them. `parts` are arguments of the compiled kernels."""

    def __init__(self, keys: npt.NDArray[np.int64]) -> None:
        module: Any = native()
        # at most half full; 8 to 16 bits of the filter for each, so that it stays in the second-level cache
        bits, filter_bits = (2 * len(keys)).bit_length() or 1, (len(keys) // 8).bit_length() or 1
        entries, filter_ = np.full((1 << bits, 2), -1, np.int64), np.zeros(1 << filter_bits, np.uint64)
        self.parts = entries, 64 - bits, filter_, 64 - filter_bits
        module.ngram_index(keys, *self.parts, len(keys))
