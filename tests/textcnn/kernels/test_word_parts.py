from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcnn.kernels.native import native
from textcnn.kernels.table_gather import gather_max_ref
from textcnn.kernels.windows import Windows
from textcnn.kernels.word_parts import add_word_parts, add_word_parts_ref

WINDOWS = Windows((1, 3, 4), (5, 20, 7), "same")


def case(kind: Any, seed: int = 0) -> tuple[Any, ...]:
    """Table, scale, some texts, their winning windows, and every filter in some slot or none."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 9, 12)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = draw.integers(0, 30, offsets[-1]).astype(np.int32)
    table = (draw.normal(size=(30, WINDOWS.rows)) * 20).astype(kind)
    scale = draw.uniform(0.1, 1.0, WINDOWS.features).astype(np.float32) if kind is np.int8 else None
    sums, starts = gather_max_ref(table, values, offsets, WINDOWS, scale=scale, argmax=True)
    slots = draw.integers(-1, 6, sums.shape).astype(np.int32)
    slots[lengths == 0] = -1
    return table, scale, values, offsets, sums, starts, slots


@pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8])
def test_compiled_and_plain_agree(kind: Any) -> None:
    table, scale, values, offsets, _, starts, slots = case(kind)
    factors = np.random.default_rng(1).normal(size=slots.shape).astype(np.float32)
    found, expected = np.zeros((2, 6, 4))
    add_word_parts(table, values, offsets, WINDOWS, starts, factors, slots, found, scale=scale)
    add_word_parts_ref(table, values, offsets, WINDOWS, starts, factors, slots, expected, scale=scale)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("way", [add_word_parts, add_word_parts_ref])
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8])
def test_the_parts_of_the_words_make_up_the_largest_window(way: Any, kind: Any) -> None:
    table, scale, values, offsets, sums, starts, slots = case(kind)
    every = np.where(np.diff(offsets)[:, None] > 0, np.arange(slots.size).reshape(slots.shape), -1).astype(np.int32)
    out = np.zeros((slots.size, 4))
    way(table, values, offsets, WINDOWS, starts, np.ones(slots.shape, np.float32), every, out, scale=scale)
    expected = np.where(np.isfinite(sums), sums, 0.0).ravel()
    np.testing.assert_allclose(out.sum(axis=1), expected, rtol=2e-3 if kind is np.float16 else 1e-5, atol=1e-4)
