"""The order in which the examples of an epoch are seen, and making them ready ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
Ready = TypeVar("Ready")
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


def prefetched(prepare: Callable[[Item], Ready], items: Iterable[Item], *, depth: int = 2) -> Iterator[Ready]:
    """`prepare` of each item, in order; a thread of its own is up to `depth` items ahead of whoever takes them."""
    coming = iter(items)
    with ThreadPoolExecutor(1, "textcnn-prefetch") as thread:
        waiting = deque(thread.submit(prepare, item) for item in islice(coming, depth))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(thread.submit(prepare, item) for item in islice(coming, 1))
            yield ready
