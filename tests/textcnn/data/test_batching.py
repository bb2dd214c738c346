from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcnn.data.batching import POOL, epoch_batches, prefetched


@given(st.integers(0, 200), st.integers(1, 60), st.booleans())
def test_every_example_is_seen_once_in_full_batches_but_one(rows: int, size: int, by_length: bool) -> None:
    lengths = np.random.default_rng(0).integers(0, 50, rows)
    batches = epoch_batches(lengths, size, seed=1, epoch=1, by_length=by_length)
    assert sorted(np.concatenate([*batches, np.zeros(0, np.int64)]).tolist()) == list(range(rows))
    assert sum(len(batch) < size for batch in batches) <= 1
    assert len(batches) == -(-rows // size)


@pytest.mark.parametrize("by_length", [False, True])
def test_the_order_depends_on_seed_and_epoch_alone(by_length: bool) -> None:
    lengths = np.arange(100) % 17

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(lengths, 8, seed=seed, epoch=epoch, by_length=by_length)).tolist()

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_by_length_texts_of_a_batch_are_nearly_as_long_as_each_other() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 8 * POOL * 3)
    batches = epoch_batches(lengths, 8, seed=1, epoch=1, by_length=True)
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded < 1.05 * lengths.sum()
    first = [lengths[batch].max() for batch in batches[:POOL]]
    assert first != sorted(first), "the batches themselves must come in random order"


def test_prefetching_keeps_the_order_and_stays_only_so_far_ahead() -> None:
    prepared: list[int] = []

    def prepare(item: int) -> int:
        prepared.append(item)
        return item * item

    taken = prefetched(prepare, range(10), depth=2)
    assert next(taken) == 0
    assert len(prepared) <= 3
    assert list(taken) == [item * item for item in range(1, 10)]


def test_a_fault_while_prefetching_reaches_the_one_who_takes() -> None:
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda item: 1 // item, [2, 1, 0, 1]))
