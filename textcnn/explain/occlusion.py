"""What changes when words are left out: works for every network, is exact for none, and says how far to trust it.

Zeiler and Fergus (2014) grey out parts of an image; Li et al. (2016) leave out words. Texts are ragged here, so a word
is taken away instead of being replaced by one that the network might read as something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textcnn.types import Faithfulness, Floats, Ids, Parts, TokenBatch

MOST_UNITS = 256  # a longer text is occluded by runs of tokens
STEPS = 10  # of the deletion and insertion curves
Logits = Callable[[TokenBatch], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """Runs of tokens bounds[u]..bounds[u + 1] - 1 (int64[U + 1]), and by how much each raises the logit: float64[U].

    `logits` float32[classes] are those of the whole text, `bias` the target's logit of the empty text.
    """

    target: int
    bounds: npt.NDArray[np.int64]
    contributions: Parts
    logits: Floats
    bias: float
    faithfulness: Faithfulness


def occlude(
    logits: Logits, ids: Ids, probabilities: Callable[[Floats], Floats], target: int | None = None
) -> Occlusion:
    """Leave out each token of one text (int32[T]) in turn. Without `target`, the most probable label."""
    units = min(len(ids), MOST_UNITS)
    bounds = np.linspace(0, len(ids), units + 1).astype(np.int64)
    unit_of = np.repeat(np.arange(units), np.diff(bounds))
    without = unit_of[None] != np.arange(units)[:, None]
    whole, none = np.ones((1, len(ids)), bool), np.zeros((1, len(ids)), bool)
    scores = logits(variants(ids, np.concatenate([whole, none, without])))
    target = int(probabilities(scores[:1])[0].argmax()) if target is None else target
    contributions = scores[0, target].astype(np.float64) - scores[2:, target]
    # the k strongest units of each step of the curves
    strength = np.empty(units, np.int64)
    strength[np.argsort(-contributions, kind="stable")] = np.arange(units)
    counts = np.ceil(np.arange(STEPS + 1) * units / STEPS).astype(np.int64)
    inserted = strength[unit_of][None] < counts[:, None]
    curves = probabilities(logits(variants(ids, np.concatenate([~inserted, inserted]))))[:, target].astype(np.float64)
    deletion, insertion = ((curve[:-1] + curve[1:]).mean() / 2 for curve in np.split(curves, 2))
    return Occlusion(
        target, bounds, contributions, scores[0], float(scores[1, target]),
        Faithfulness(float(deletion), float(insertion)),
    )  # fmt: skip


def variants(ids: Ids, kept: npt.NDArray[np.bool_]) -> TokenBatch:
    """One text a row of `kept` bool[V, T]: the tokens that stay, in order."""
    offsets = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return TokenBatch(np.broadcast_to(ids, kept.shape)[kept], offsets)
