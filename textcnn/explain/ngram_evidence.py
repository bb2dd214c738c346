"""Exact evidence: after max over time a logit is bias + sum over filters of weight x activation, and every activation
belongs to one window of tokens. Filters that chose the same tokens are added up; nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textcnn.kernels.merge_windows import merge_windows
from textcnn.types import Ids, Offsets, Parts, TokenBatch, Winners


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The n-grams behind one logit of each text of a batch, as columns: n-grams offsets[i]..offsets[i + 1] - 1 are
    those of text i, in its order.

    Each holds tokens starts..ends - 1 of its text, int64[M], and contributes float64[M]. `slots` int32[B, F], if it was
    asked for, says which n-gram each activation went into, -1 for those that contribute nothing.
    """

    offsets: Offsets
    starts: Offsets
    ends: Offsets
    contributions: Parts
    slots: Ids | None


def ngram_evidence(
    batch: TokenBatch, winners: Winners, targets: npt.NDArray[np.int64], *, slots: bool = False
) -> Evidence:
    """The n-grams behind logits[i, targets[i]] of every text i; their sum and the label's bias make up the logit."""
    merged = merge_windows(
        winners.activations, winners.weight, winners.starts, winners.ends, targets, batch.offsets, slots=slots
    )
    return Evidence(*merged)
