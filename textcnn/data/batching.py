"""The order in which the examples of an epoch are seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
POOL = 50  # batches among which lengths are sorted: enough to halve the padding, few enough to stay random


def epoch_batches(
    lengths: npt.NDArray[np.int64], batch_size: int, *, seed: int, epoch: int, by_length: bool = False
) -> list[Indices]:
    """Index arrays that cover 0..len(lengths) once, random, the same for the same seed and epoch.

    `by_length` puts texts of similar length together for networks that pad: the shuffled examples are sorted within
    pools of POOL batches and the batches are shuffled again, so every epoch mixes anew.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    if by_length:
        pool = POOL * batch_size
        pools = (order[start : start + pool] for start in range(0, len(order), pool))
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in pools] or [order])
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if by_length:
        batches = [batches[index] for index in generator.permutation(len(batches))]
    return batches
