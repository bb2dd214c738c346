"""Contributions of words, by whichever method, and how well their order agrees with the model that is explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textcnn.types import Faithfulness, Floats, Offsets, Parts, TokenBatch

STEPS = 10  # of the deletion and insertion curves
Logits = Callable[[TokenBatch], Floats]
Probabilities = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Runs of tokens starts[u]..ends[u] - 1 (int64[U]), and what each does for the target: float64[U].

    `logits` float32[classes] are those of the whole text, `bias` what the target's logit is without the contributions.
    """

    target: int
    starts: Offsets
    ends: Offsets
    contributions: Parts
    logits: Floats
    bias: float
    faithfulness: Faithfulness


def faithfulness(
    logits: Logits, text: TokenBatch, unit_of: Offsets, contributions: Parts, probabilities: Probabilities, target: int
) -> Faithfulness:
    """The areas below the curves of the target's probability when runs of tokens go, or come, strongest first.

    `unit_of` int64[T] is the run of each token; -1: it is always there.
    """
    units = len(contributions)
    # the k strongest units of each step of the curves
    strength = np.empty(units, np.int64)
    strength[np.argsort(-contributions, kind="stable")] = np.arange(units)
    counts = np.ceil(np.arange(STEPS + 1) * units / STEPS).astype(np.int64)
    inserted = np.append(strength, units)[unit_of][None] < counts[:, None]
    kept = np.concatenate([~inserted, inserted | (unit_of < 0)[None]])
    curves = probabilities(logits(variants(text, kept)))[:, target].astype(np.float64)
    deletion, insertion = ((curve[:-1] + curve[1:]).mean() / 2 for curve in np.split(curves, 2))
    return Faithfulness(float(deletion), float(insertion))


def variants(text: TokenBatch, kept: npt.NDArray[np.bool_]) -> TokenBatch:
    """One text a row of `kept` bool[V, T]: the tokens that stay of a batch of one text, in order."""
    offsets = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return text.with_values(np.broadcast_to(text.values, kept.shape)[kept], offsets)
