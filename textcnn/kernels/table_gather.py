"""Convolution and max over time as a table look-up: numpy in, numpy out, no torch.

After training, embedding E and filters W are fixed, so the contribution of word v at offset k of a window,
P[v, k] = W_k E[v], is a table. A window's activation is the sum of `width` rows and a feature is the largest window.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.kernels.native import in_ranges, native
from textcnn.kernels.windows import Windows
from textcnn.types import Floats, Ids, Offsets

NO_WINDOW = np.iinfo(np.int32).min  # arg-max of an empty text
PARTS = {"f": 2, "fo": 3, "ifo": 4}  # of each recurrent pooling, the gates side by side: z, f, o, i in this order
Table = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.int8]


def gather_max(
    table: Table,
    values: Ids,
    offsets: Offsets,
    windows: Windows,
    *,
    scale: Floats | None = None,
    argmax: bool = False,
    threads: int = 1,
) -> tuple[Floats, Ids | None]:
    """Largest window of every filter in every text, before bias and activation.

    `table` is [words, windows.rows], laid out as `Windows` says; float32, float16, or int8 with `scale`
    float32[features] (the value of one unit). `values` int32[N] are its row numbers, `offsets` int64[B + 1].

    Returns features float32[B, features] (-inf where a text is empty) and, if asked for, the start of the winning
    window int32[B, features]: negative where it begins in the left padding, NO_WINDOW where the text is empty. The
    first of equal windows wins.
    """
    module = native()
    if module is None:
        return gather_max_ref(table, values, offsets, windows, scale=scale, argmax=argmax)
    texts = len(offsets) - 1
    features = np.empty((texts, windows.features), np.float32)
    starts = np.empty((texts, windows.features), np.int32) if argmax else None
    width, filters, left, right = windows.arrays

    def work(begin: int, end: int) -> None:
        module.gather_max(
            table, table.shape[1], table.itemsize, values, offsets, width, filters, left, right, len(width),
            windows.features, scale, features, starts, begin, end,
        )  # fmt: skip

    in_ranges(work, texts, threads=threads, grain=32)
    return features, starts


def gather_max_ref(
    table: Table,
    values: Ids,
    offsets: Offsets,
    windows: Windows,
    *,
    scale: Floats | None = None,
    argmax: bool = False,
) -> tuple[Floats, Ids | None]:
    """The same in plain numpy, one text after the other."""
    texts = len(offsets) - 1
    features = np.full((texts, windows.features), -np.inf, np.float32)
    starts = np.full((texts, windows.features), NO_WINDOW, np.int32)
    exact: Any = np.int32 if scale is not None else np.float32
    for text in range(texts):
        rows = table[values[offsets[text] : offsets[text + 1]]].astype(exact)
        if not len(rows):
            continue
        for width, filters, row, feature, left in windows.groups():
            right = windows.pad(width)[1]
            count = max(1, len(rows) + left + right - width + 1)
            sums: npt.NDArray[Any] = np.zeros((count, filters), exact)
            for k in range(width):
                # window w covers tokens w - left .. w - left + width - 1; k is inside the text for these windows
                low, high = max(0, left - k), min(count, len(rows) + left - k)
                if low < high:
                    piece = rows[low - left + k : high - left + k, row + k * filters : row + (k + 1) * filters]
                    sums[low:high] += piece
            best = sums.argmax(axis=0)
            span = slice(feature, feature + filters)
            features[text, span] = np.take_along_axis(sums, best[None], axis=0)[0] * (
                1.0 if scale is None else scale[span]
            )
            starts[text, span] = best - left
    return features, starts if argmax else None


def gather_sum(
    table: Floats, values: Ids, offsets: Offsets, window: int, *, reverse: bool = False, threads: int = 1
) -> Floats:
    """What a QRNN's masked convolution gives, by look-up: the sum over j of a token's row and those before it.

    `table` float32[words, window * columns]; columns j * width onwards belong to the token j places before (after, if
    `reverse`). Returns float32[N, columns].
    """
    module = native()
    columns = table.shape[1] // window
    if module is None:
        return gather_sum_ref(table, values, offsets, window, reverse=reverse)
    out = np.empty((len(values), columns), np.float32)

    def work(begin: int, end: int) -> None:
        module.gather_sum(table, values, offsets, out, window, columns, reverse, begin, end)

    in_ranges(work, len(offsets) - 1, threads=threads, grain=32)
    return out


def gather_sum_ref(table: Floats, values: Ids, offsets: Offsets, window: int, *, reverse: bool = False) -> Floats:
    """The same in plain numpy, one text after the other."""
    columns = table.shape[1] // window
    out = np.zeros((len(values), columns), np.float32)
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        for j in range(min(window, int(end - start))):
            part = table[values[start:end], j * columns : (j + 1) * columns]
            if reverse:
                out[start : end - j] += part[j:]
            else:
                out[start + j : end] += part[: len(part) - j]
    return out


def gate_states(gates: Floats, bias: Floats, offsets: Offsets, *, parts: int, reverse: bool = False) -> Floats:
    """States of a QRNN layer from its gates, as kernels/fo_pool.py defines them: float32[N, dim]. Compiled only.

    `gates` float32[N, parts * dim] holds z, f (, o (, i)) side by side, before bias and activation.
    """
    module = native()
    assert module is not None
    tokens, columns = gates.shape
    dim = columns // parts
    flat = gates.reshape(-1)
    # each gate as what begins at its first column; the kernel steps over whole rows
    z, f, o, i = [flat[part * dim :] if part < parts else None for part in range(4)]
    h = np.empty((tokens, dim), np.float32)
    out = None if o is None else np.empty_like(h)
    module.fo_pool(z, f, o, i, bias, None, offsets, h, out, len(offsets) - 1, dim, columns, reverse, 0, dim)
    return h if out is None else out


def pack(weight: Floats, groups: int = 1) -> Floats:
    """Weight [rows, dim] in the order in which `project` reads it.

    For each of the `groups` that the rows are cut into, blocks of columns: [groups, ceil(rows / PACK), dim, PACK].
    """
    return np.ascontiguousarray([_packed(part) for part in np.split(weight, groups)])


def _packed(weight: Floats) -> Floats:
    module = native()
    if module is None:
        return weight.T
    rows, dim = weight.shape
    blocks = -(-rows // module.PACK)
    packed = np.zeros((blocks * module.PACK, dim), np.float32)
    packed[:rows] = weight
    return packed.reshape(blocks, module.PACK, dim).transpose(0, 2, 1)


def project(embedding: Floats, packed: Floats, ids: Ids, slots: Ids, out: Floats, *, threads: int = 1) -> None:
    """out[slots[j]] = embedding[ids[j]] @ weight.T, where `packed` = pack(weight); slots must differ.

    With groups, each sees its own part of the embedding's columns, and fills its own part of the columns of `out`.
    Each row is computed by itself in a fixed order, so it has the same bits whatever else is asked for beside it.
    """
    module = native()
    groups, columns, pitch = len(packed), out.shape[1] // len(packed), out.shape[1]
    dim = embedding.shape[1] // groups
    parts, flat = embedding.reshape(-1, dim), out.reshape(-1)  # a row for each word and group
    for group, of_group in enumerate(packed):
        rows = ids if groups == 1 else ids * np.int32(groups) + np.int32(group)
        if module is None:
            for row, slot in zip(rows, slots, strict=True):
                out[slot, group * columns : (group + 1) * columns] = parts[row] @ of_group
            continue
        # the kernel steps over whole rows of `out`
        work = partial(module.project, parts, of_group, rows, slots, flat[group * columns :], dim, columns, pitch)
        in_ranges(work, len(ids), threads=threads, grain=64)


def affine(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """x [B, in] @ weight [out, in].T + bias [out], each text by itself: the same bits alone or in any batch."""
    module = native()
    out = np.empty((len(x), len(weight)), np.float32)
    if module is None:
        for text in range(len(x)):
            out[text] = weight @ x[text] + bias
        return out
    module.affine(x, weight, bias, out, x.shape[1], len(weight), 0, len(x))
    return out
