"""Contributions of filters that chose the same tokens, added up: numpy in, numpy out, no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from textcnn.kernels.native import native
from textcnn.types import Evidence, Floats, Ids, Offsets, Parts

Room = tuple[Offsets, Offsets, Offsets, Parts]  # as the kernels want it: where texts begin, first token, end, value


def merge_windows(
    activations: Floats, weight: Floats, starts: Ids, ends: Ids, targets: npt.NDArray[np.int64], offsets: Offsets,
    *, slots: bool = False,
) -> Evidence:  # fmt: skip
    """What every window of tokens adds to logit targets[i] of text i.

    `activations` float32[B, F], `weight` float32[classes, F], windows of tokens starts..ends - 1 int32[B, F], which may
    reach beyond a text of `offsets` int64[B + 1], `targets` int64[B].

    Returns windows as they lie inside the texts, in order; and, if asked for, which of them each activation went into.
    """
    module = native()
    if module is None:
        return merge_windows_ref(activations, weight, starts, ends, targets, offsets, slots=slots)
    texts, features = activations.shape
    room = room_for_windows(texts, features)
    slot_of = np.empty(activations.shape, np.int32) if slots else None
    count = module.merge_windows(activations, weight, starts, ends, targets, offsets, *room, slot_of, texts, features)
    return kept(room, count, slot_of)


def merge_windows_ref(
    activations: Floats, weight: Floats, starts: Ids, ends: Ids, targets: npt.NDArray[np.int64], offsets: Offsets,
    *, slots: bool = False,
) -> Evidence:  # fmt: skip
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
    chosen = slot_of[cells].reshape(activations.shape) if slots else None
    return Evidence(bounds, begin, begin + size + 1, total[found], chosen)


def room_for_windows(texts: int, features: int) -> Room:
    """For a window of each feature of each text, and one more: pages that are not written to cost nothing."""
    first, last = np.empty((2, texts * features + 1), np.int64)
    return np.empty(texts + 1, np.int64), first, last, np.empty(texts * features + 1, np.float64)


def kept(room: Room, count: int, slots: Ids | None = None) -> Evidence:
    """The windows that were written there."""
    bounds, first, last, total = room
    return Evidence(bounds, first[:count].copy(), last[:count].copy(), total[:count].copy(), slots)


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Several texts' windows and those of the texts after them, without slots."""
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    bounds = [part.offsets[1:] + first for part, first in zip(parts, before, strict=False)]
    return Evidence(
        np.concatenate([np.zeros(1, np.int64), *bounds]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.contributions for part in parts]),
    )
