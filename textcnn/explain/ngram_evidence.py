"""Exact evidence: after max over time a logit is bias + sum over filters of weight x activation, and every activation
belongs to one window of tokens. Filters that chose the same tokens are added up; nothing is approximated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textcnn.kernels.merge_windows import merge_windows
from textcnn.types import Evidence, Floats, Parts, TokenBatch, Winners


def ngram_evidence(
    batch: TokenBatch, winners: Winners, targets: npt.NDArray[np.int64], *, slots: bool = False
) -> tuple[Evidence, Parts | None]:
    """The n-grams behind logits[i, targets[i]] of every text i; their sum and the label's bias make up the logit.

    The second value says how much of each is that of a linear model on n-grams, where there is one.
    """
    found = merge_windows(
        winners.activations, winners.weight, winners.starts, winners.ends, targets, batch.offsets, slots=slots
    )
    return winners.beside(found, targets, None) if winners.beside else (found, None)


def signed_evidence(batch: TokenBatch, winners: Winners, signs: Floats) -> Evidence:
    """The n-grams behind the sum of signs[i] x logits of every text i; `signs` float32[B, classes]."""
    rows = np.arange(len(batch))
    found = merge_windows(
        winners.activations, signs @ winners.weight, winners.starts, winners.ends, rows, batch.offsets
    )  # fmt: skip
    return winners.beside(found, rows, signs)[0] if winners.beside else found
