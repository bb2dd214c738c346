from __future__ import annotations

import numpy as np
import pytest

from textcnn.kernels.native import native
from textcnn.kernels.softmax import softmax, softmax_ref

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")


@compiled
@pytest.mark.parametrize("classes", [1, 2, 5, 8, 33, 150, 300])
@pytest.mark.parametrize(("temperature", "doubt"), [(1.0, 0.0), (0.3, 0.0), (2.5, 0.07)])
def test_compiled_kernel_equals_numpy(classes: int, temperature: float, doubt: float) -> None:
    logits = np.random.default_rng(classes).normal(0, 20, (40, classes)).astype(np.float32)
    found = softmax(logits, temperature=temperature, doubt=doubt)
    expected = softmax_ref(logits, temperature=temperature, doubt=doubt)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-38)
    np.testing.assert_allclose(found.sum(1, dtype=np.float64), 1, atol=1e-6)


@compiled
def test_it_is_exact_to_the_last_bit_or_two_over_the_whole_range() -> None:
    below = np.concatenate([np.linspace(-700, 0, 10_001), -np.logspace(-12, 2, 1000)]).astype(np.float32)
    logits = np.stack([np.zeros_like(below), below], axis=1)
    exact = np.exp(below.astype(np.float64))
    exact /= 1 + exact
    # half a unit in the last place of float32, or of its smallest number
    np.testing.assert_allclose(softmax(logits)[:, 1], exact, rtol=6.1e-8, atol=1e-45)


@pytest.mark.parametrize("engine", [softmax, softmax_ref])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(engine) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 7)).astype(np.float32)
    together = engine(logits, temperature=1.3)
    np.testing.assert_array_equal(np.concatenate([engine(row[None], temperature=1.3) for row in logits]), together)


@pytest.mark.parametrize("engine", [softmax, softmax_ref])
def test_huge_logits_do_not_overflow_and_no_rows_are_no_rows(engine) -> None:
    np.testing.assert_array_equal(engine(np.array([[3e38, -3e38, 0]], np.float32)), [[1, 0, 0]])
    assert engine(np.zeros((0, 4), np.float32)).shape == (0, 4)
