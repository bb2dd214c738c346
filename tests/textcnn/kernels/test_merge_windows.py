from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.kernels.merge_windows import merge_windows, merge_windows_ref
from textcnn.kernels.native import native


@pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
@settings(deadline=None, max_examples=200)
@given(
    lengths=st.lists(st.integers(0, 90), max_size=5),
    features=st.integers(0, 30),
    widest=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_compiled_and_plain_agree(lengths: list[int], features: int, widest: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    texts = len(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    activations = draw.normal(size=(texts, features)).astype(np.float32) * draw.integers(0, 2, (texts, features))
    activations = activations.astype(np.float32)
    weight = draw.normal(size=(3, features)).astype(np.float32)
    room = np.array(lengths, np.int64).reshape(-1, 1) + 5
    starts = (draw.integers(0, np.broadcast_to(room, (texts, features))) - 3).astype(np.int32)
    ends = (starts + draw.integers(1, widest + 1, (texts, features))).astype(np.int32)
    targets = draw.integers(0, 3, texts)
    arguments = (activations, weight, starts, ends, targets, offsets)
    found, expected = merge_windows(*arguments, slots=True), merge_windows_ref(*arguments, slots=True)
    for column in ("offsets", "starts", "ends", "contributions", "slots"):
        a, b = getattr(found, column), getattr(expected, column)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert merge_windows(*arguments).slots is None


def test_filters_with_the_same_tokens_are_added_up_and_padding_is_no_part_of_them() -> None:
    activations = np.array([[1.0, 2.0, 3.0, 4.0, 0.0]], np.float32)
    weight = np.array([[0.5, 1.0, -1.0, 2.0, 1.0]], np.float32)
    starts = np.array([[-1, 0, 1, 1, 0]], np.int32)
    ends = np.array([[2, 2, 3, 9, 1]], np.int32)
    for way in (merge_windows, merge_windows_ref):
        found = way(activations, weight, starts, ends, np.zeros(1, np.int64), np.array([0, 3], np.int64), slots=True)
        assert found.offsets.tolist() == [0, 2]
        ngrams = zip(found.starts.tolist(), found.ends.tolist(), found.contributions.tolist(), strict=True)
        assert list(ngrams) == [(0, 2, 2.5), (1, 3, 5.0)]
        assert found.slots is not None
        assert found.slots.tolist() == [[0, 0, 1, 1, -1]]
