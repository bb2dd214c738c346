"""The n-grams that a linear model knows, as the compiled kernels look them up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textcnn.kernels.native import native
from textcnn.types import Floats


def ngram_index(
    keys: npt.NDArray[np.int64], scale: Floats, weight: Floats,
    *, longest: int, bias: Floats | None = None, length: float = 0.0,
) -> object:  # fmt: skip
    """A hash table of `keys` int64[M], 0 or above, a filter in front of it, and their rows; None without kernels.

    Scale, weight, bias and longest as in NgramLinear; length as in CharacterNgrams.
    """
    module = native()
    if module is None:
        return None
    rows = np.concatenate([scale[:, None], weight], axis=1, dtype=np.float32)
    return module.ngram_index(keys, len(keys), rows, weight.shape[1], bias, longest, length)
