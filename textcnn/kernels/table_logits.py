"""From token ids to logits in one compiled call: table look-up, bias, activation, head, and n-grams beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.kernels.merge_windows import joined, kept, room_for_windows
from textcnn.kernels.native import in_ranges, native
from textcnn.kernels.ngram_linear import NgramLinear, texts_of
from textcnn.kernels.table_gather import Table
from textcnn.kernels.windows import Windows
from textcnn.types import Evidence, Floats, Offsets, TokenBatch

FUSED = ("relu", "identity")  # activations that the kernel knows


class TableLogits:
    """What `gather_max`, bias, activation and `affine` give one after the other, and NgramLinear adds. Compiled only.

    Table, windows and scale as in `gather_max`; `there` bool[words] says which rows of the table are filled, now or
    later; `activation` is one of FUSED, and an empty text has features of zero; weight and bias of the head as in
    `affine`; the n-grams `beside` are those of a linear model. Words outside the vocabulary are the unknown one to the
    table, or, if it `spells`, beyond it. A text has the same bits alone and in any batch.
    """

    def __init__(
        self, table: Table, there: npt.NDArray[np.bool_], windows: Windows, bias: Floats, activation: str,
        head_weight: Floats, head_bias: Floats,
        *, scale: Floats | None = None, spells: bool = False, beside: NgramLinear | None = None, threads: int = 1,
    ) -> None:  # fmt: skip
        module = native()
        assert module is not None
        self._call = module.gather_logits
        self._classes, self._features, self._threads = len(head_weight), windows.features, threads
        layers = module.layers(
            table, there, len(table), table.shape[1], table.itemsize, *windows.arrays, len(windows.num_filters),
            windows.features, scale, bias, activation == "relu", head_weight, head_bias, len(head_weight),
            spells,
        )  # fmt: skip
        self._static = layers, *(beside.compiled if beside else (None, None))

    def logits(self, batch: TokenBatch) -> Floats | None:
        """float32[B, classes]; None where a token's row is not there, or beyond the table."""
        out = np.empty((len(batch), self._classes), np.float32)
        given = *self._static, *texts_of(batch), out, None, None, None, None, None

        def work(begin: int, end: int) -> int:
            count: int = self._call(*given, begin, end)
            return count

        return out if min(in_ranges(work, len(batch), threads=self._threads, grain=32)) >= 0 else None

    def evidence(self, batch: TokenBatch) -> tuple[Floats, Offsets, Evidence] | None:
        """The same, which of each text's logits is the largest, int64[B], and the windows of the table behind that.

        The windows are as `merge_windows` has them, those of the n-grams beside the network not among them.
        """
        out, largest = np.empty((len(batch), self._classes), np.float32), np.empty(len(batch), np.int64)
        given = *self._static, *texts_of(batch), out, largest

        def work(begin: int, end: int) -> Evidence | None:
            room: Any = room_for_windows(end - begin, self._features)
            count = self._call(*given, *room, begin, end)
            return kept(room, count) if count >= 0 else None

        parts = in_ranges(work, len(batch), threads=self._threads, grain=32)
        found = [part for part in parts if part]
        return (out, largest, joined(found)) if len(found) == len(parts) else None
