"""Exact evidence: after max over time a logit is bias + sum over filters of weight x activation, and every activation
belongs to one window of tokens. Filters that chose the same tokens are added up; nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textcnn.types import Ids, Offsets, Parts, TokenBatch, Winners


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The n-grams behind one logit of each text of a batch, as columns: n-grams offsets[i]..offsets[i + 1] - 1 are
    those of text i, in its order.

    Each holds tokens starts..ends - 1 of its text, int64[M]; contributions float64[M]. `slots` int32[B, F] says which
    n-gram each activation went into, -1 for those that contribute nothing.
    """

    offsets: Offsets
    starts: Offsets
    ends: Offsets
    contributions: Parts
    slots: Ids


def ngram_evidence(batch: TokenBatch, winners: Winners, targets: npt.NDArray[np.int64]) -> Evidence:
    """The n-grams behind logits[i, targets[i]] of every text i; their sum and the label's bias make up the logit."""
    lengths = batch.lengths
    added = winners.activations * winners.weight[targets]
    starts = np.maximum(winners.starts, 0)  # the padding before and behind a text is no part of an n-gram
    sizes = np.minimum(winners.ends, lengths[:, None]) - starts
    counted = (added != 0.0) & (sizes > 0)
    # one cell for every place where an n-gram can begin and every length, and one for what contributes nothing
    widest = int(sizes.max(initial=1, where=counted))
    nowhere = len(batch.values) * widest
    cells = np.where(counted, (batch.offsets[:-1, None] + starts) * widest + sizes - 1, nowhere).ravel()
    total = np.bincount(cells, added.ravel(), minlength=nowhere + 1)[:nowhere].astype(np.float64, copy=False)
    found = np.flatnonzero(np.bincount(cells, minlength=nowhere + 1)[:nowhere])
    slot_of = np.full(nowhere + 1, -1, np.int32)
    slot_of[found] = np.arange(len(found), dtype=np.int32)
    token, size = np.divmod(found, widest)
    offsets = np.searchsorted(token, batch.offsets)
    text = np.repeat(np.arange(len(batch)), np.diff(offsets))
    first = token - batch.offsets[text]
    return Evidence(
        offsets=offsets,
        starts=first,
        ends=first + size + 1,
        contributions=total[found],
        slots=slot_of[cells].reshape(added.shape),
    )
