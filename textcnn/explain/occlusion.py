"""What changes when words are left out: works for every network, is exact for none, and says how far to trust it.

Zeiler and Fergus (2014) grey out parts of an image; Li et al. (2016) leave out words. Texts are ragged here, so a word
is taken away instead of being replaced by one that the network might read as something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textcnn.types import BREAK_ID, Faithfulness, Floats, Ids, Parts, TokenBatch

MOST_UNITS = 256  # a longer text is occluded by runs of tokens
STEPS = 10  # of the deletion and insertion curves
Logits = Callable[[TokenBatch], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """Runs of tokens starts[u]..ends[u] - 1 (int64[U]), and by how much each raises the logit: float64[U].

    `logits` float32[classes] are those of the whole text, `bias` the target's logit of the empty text.
    """

    target: int
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    contributions: Parts
    logits: Floats
    bias: float
    faithfulness: Faithfulness


def occlude(
    logits: Logits, ids: Ids, probabilities: Callable[[Floats], Floats], target: int | None = None
) -> Occlusion:
    """Leave out each token of one text (int32[T]) in turn. Without `target`, the most probable label.

    What stands between segments stays, and no run goes across it.
    """
    starts, ends = _runs(ids)
    units = len(starts)
    unit_of = np.full(len(ids), -1)
    for unit, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        unit_of[start:end] = unit
    without = unit_of[None] != np.arange(units)[:, None]
    whole, none = np.ones((1, len(ids)), bool), (unit_of < 0)[None]
    scores = logits(variants(ids, np.concatenate([whole, none, without])))
    target = int(probabilities(scores[:1])[0].argmax()) if target is None else target
    contributions = scores[0, target].astype(np.float64) - scores[2:, target]
    # the k strongest units of each step of the curves
    strength = np.empty(units, np.int64)
    strength[np.argsort(-contributions, kind="stable")] = np.arange(units)
    counts = np.ceil(np.arange(STEPS + 1) * units / STEPS).astype(np.int64)
    inserted = np.append(strength, units)[unit_of][None] < counts[:, None]
    kept = np.concatenate([~inserted, inserted | none])
    curves = probabilities(logits(variants(ids, kept)))[:, target].astype(np.float64)
    deletion, insertion = ((curve[:-1] + curve[1:]).mean() / 2 for curve in np.split(curves, 2))
    return Occlusion(
        target, starts, ends, contributions, scores[0], float(scores[1, target]),
        Faithfulness(float(deletion), float(insertion)),
    )  # fmt: skip


def _runs(ids: Ids) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First token and end of each run: single tokens, or MOST_UNITS runs of neighbours (rounded up in each segment)."""
    breaks = np.flatnonzero(ids == BREAK_ID)
    first, last = np.append(-1, breaks) + 1, np.append(breaks, len(ids))
    tokens = len(ids) - len(breaks)
    share = min(1.0, MOST_UNITS / max(tokens, 1))
    units = np.ceil((last - first) * share).astype(np.int64).tolist()
    bounds = [np.linspace(a, b, count + 1).astype(np.int64) for a, b, count in zip(first, last, units, strict=True)]
    return np.concatenate([b[:-1] for b in bounds]), np.concatenate([b[1:] for b in bounds])


def variants(ids: Ids, kept: npt.NDArray[np.bool_]) -> TokenBatch:
    """One text a row of `kept` bool[V, T]: the tokens that stay, in order."""
    offsets = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return TokenBatch(np.broadcast_to(ids, kept.shape)[kept], offsets)
