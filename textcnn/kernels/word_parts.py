"""What each word of a winning window adds to its filters: numpy in, numpy out, no torch."""

from __future__ import annotations

import numpy as np

from textcnn.kernels.native import native
from textcnn.kernels.table_gather import Table
from textcnn.kernels.windows import Windows
from textcnn.types import Floats, Ids, Offsets, Parts


def add_word_parts(
    table: Table, values: Ids, offsets: Offsets, windows: Windows, starts: Ids, factors: Floats, slots: Ids, out: Parts,
    *, scale: Floats | None = None,
) -> None:  # fmt: skip
    """Add to `out` float64[slots, widest window] what the words of the winning windows in each slot contribute.

    Table, values, offsets, scale and starts as in `gather_max`. Filter f of text i belongs to slot slots[i, f]
    (int32[B, F]; -1: to none) and counts factors[i, f] times (float32[B, F]). out[s, t] is of token t of slot s, from
    the first token inside the text on.
    """
    module = native()
    if module is None:
        add_word_parts_ref(table, values, offsets, windows, starts, factors, slots, out, scale=scale)
        return
    width, filters, _, _ = windows.arrays
    module.word_parts(
        table, table.shape[1], table.itemsize, values, offsets, width, filters, len(width), windows.features, scale,
        starts, factors, slots, out, len(offsets) - 1, out.shape[1],
    )  # fmt: skip


def add_word_parts_ref(
    table: Table, values: Ids, offsets: Offsets, windows: Windows, starts: Ids, factors: Floats, slots: Ids, out: Parts,
    *, scale: Floats | None = None,
) -> None:  # fmt: skip
    """The same in plain numpy."""
    lengths = np.diff(offsets)
    for width, filters, row, feature, _ in windows.groups():
        text, column = np.nonzero(slots[:, feature : feature + filters] >= 0)
        start, slot = starts[text, feature + column], slots[text, feature + column]
        factor = factors[text, feature + column].astype(np.float64)
        if scale is not None:
            factor *= scale[feature + column]
        for k in range(width):
            at = start + k
            inside = (at >= 0) & (at < lengths[text])
            words = values[offsets[text[inside]] + at[inside]]
            added = table[words, row + k * filters + column[inside]] * factor[inside]
            np.add.at(out, (slot[inside], at[inside] - np.maximum(start[inside], 0)), added)
