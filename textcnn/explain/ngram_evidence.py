"""Exact evidence: after max over time a logit is bias + sum over filters of weight x activation, and every activation
belongs to one window of tokens. Filters that chose the same tokens are added up; nothing is approximated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textcnn.kernels.merge_windows import merge_windows
from textcnn.types import Evidence, TokenBatch, Winners


def ngram_evidence(
    batch: TokenBatch, winners: Winners, targets: npt.NDArray[np.int64], *, slots: bool = False
) -> Evidence:
    """The n-grams behind logits[i, targets[i]] of every text i; their sum and the label's bias make up the logit."""
    return merge_windows(
        winners.activations, winners.weight, winners.starts, winners.ends, targets, batch.offsets, slots=slots
    )
