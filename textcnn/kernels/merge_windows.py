"""Contributions of filters that chose the same tokens, added up: numpy in, numpy out, no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textcnn.kernels.native import native
from textcnn.types import Floats, Ids, Offsets, Parts

Merged = tuple[Offsets, Offsets, Offsets, Parts, Ids | None]


def merge_windows(
    activations: Floats, weight: Floats, starts: Ids, ends: Ids, targets: npt.NDArray[np.int64], offsets: Offsets,
    *, slots: bool = False,
) -> Merged:  # fmt: skip
    """What every window of tokens adds to logit targets[i] of text i.

    `activations` float32[B, F], `weight` float32[classes, F], windows of tokens starts..ends - 1 int32[B, F], which may
    reach beyond a text of `offsets` int64[B + 1], `targets` int64[B].

    Returns windows as they lie inside the texts, in order: where each text's begin, int64[B + 1]; first token and end
    int64[M] each; contribution float64[M]; and, if asked for, which of them each activation went into, int32[B, F], -1
    where it adds nothing.
    """
    module = native()
    if module is None:
        return merge_windows_ref(activations, weight, starts, ends, targets, offsets, slots=slots)
    texts, features = activations.shape
    bounds = np.empty(texts + 1, np.int64)
    # room for a window of each feature: pages that are not written to cost nothing
    first, last = np.empty((2, activations.size), np.int64)
    total = np.empty(activations.size, np.float64)
    slot_of = np.empty(activations.shape, np.int32) if slots else None
    count = module.merge_windows(
        activations, weight, starts, ends, targets, offsets, bounds, first, last, total, slot_of, texts, features
    )
    return bounds, first[:count].copy(), last[:count].copy(), total[:count].copy(), slot_of


def merge_windows_ref(
    activations: Floats, weight: Floats, starts: Ids, ends: Ids, targets: npt.NDArray[np.int64], offsets: Offsets,
    *, slots: bool = False,
) -> Merged:  # fmt: skip
    """The same in plain numpy."""
    added = (activations * weight[targets].astype(np.float64)).ravel()
    first = np.maximum(starts, 0)
    sizes = np.minimum(ends, np.diff(offsets)[:, None]) - first
    counted = (added != 0.0) & (sizes > 0).ravel()
    # one cell for every place where a window can begin and every length, and one for what contributes nothing
    widest = int(sizes.max(initial=1))
    nowhere = int(offsets[-1]) * widest
    cells = np.where(counted, ((offsets[:-1, None] + first) * widest + sizes - 1).ravel(), nowhere)
    total = np.bincount(cells, added, minlength=nowhere + 1).astype(np.float64, copy=False)
    found = np.flatnonzero(np.bincount(cells, minlength=nowhere + 1)[:nowhere])
    slot_of = np.full(nowhere + 1, -1, np.int32)
    slot_of[found] = np.arange(len(found), dtype=np.int32)
    token, size = np.divmod(found, widest)
    bounds = np.searchsorted(token, offsets)
    begin = token - np.repeat(offsets[:-1], np.diff(bounds))
    return bounds, begin, begin + size + 1, total[found], slot_of[cells].reshape(activations.shape) if slots else None
