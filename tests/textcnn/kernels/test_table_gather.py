from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcnn.kernels.native import native
from textcnn.kernels.table_gather import (
    NO_WINDOW,
    affine,
    gather_max,
    gather_max_ref,
    gather_sum,
    gather_sum_ref,
    pack,
    project,
)
from textcnn.kernels.windows import Padding, Windows
from textcnn.types import TokenBatch

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")


def random_batch(generator: np.random.Generator, texts: int, words: int, longest: int) -> TokenBatch:
    return TokenBatch.from_lists(
        [generator.integers(0, words, generator.integers(0, longest + 1)).tolist() for _ in range(texts)]
    )


@compiled
@pytest.mark.parametrize("padding", ["valid", "same", "wide"])
@pytest.mark.parametrize("filters", [(3, 5, 1), (100, 100, 100), (16, 41, 130)])
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_compiled_kernel_equals_numpy(padding: Padding, filters: tuple[int, ...], precision: str) -> None:
    generator = np.random.default_rng(0)
    windows = Windows((1, 3, 6), filters, padding)
    batch = random_batch(generator, texts=40, words=50, longest=9)
    table = (generator.normal(size=(50, windows.rows)) * (30 if precision == "int8" else 1)).astype(precision)
    scale = generator.random(windows.features, np.float32) if precision == "int8" else None
    fast, at = gather_max(table, batch.values, batch.offsets, windows, scale=scale, argmax=True, threads=2)
    slow, expected_at = gather_max_ref(table, batch.values, batch.offsets, windows, scale=scale, argmax=True)
    np.testing.assert_allclose(fast, slow, atol=1e-5)
    np.testing.assert_array_equal(at, expected_at)


@compiled
def test_asking_for_the_argmax_does_not_change_the_features() -> None:
    generator = np.random.default_rng(1)
    windows = Windows((2, 3), (70, 9))
    batch = random_batch(generator, texts=20, words=30, longest=12)
    table = generator.normal(size=(30, windows.rows)).astype(np.float32)
    with_argmax, _ = gather_max(table, batch.values, batch.offsets, windows, argmax=True)
    without, nothing = gather_max(table, batch.values, batch.offsets, windows)
    assert nothing is None
    np.testing.assert_array_equal(with_argmax, without)


@compiled
def test_int8_finds_windows_beyond_what_16_bits_count() -> None:
    windows = Windows((1,), (64,))
    table = np.zeros((2, 64), np.int8)
    table[1] = 5
    values = np.zeros(40_000, np.int32)
    values[35_000] = 1
    _, at = gather_max(table, values, np.array([0, 40_000]), windows, scale=np.ones(64, np.float32), argmax=True)
    assert at is not None and (at == 35_000).all()


def test_an_empty_text_has_no_window() -> None:
    windows = Windows((3,), (4,))
    features, at = gather_max(
        np.ones((1, 12), np.float32), np.zeros(0, np.int32), np.array([0, 0]), windows, argmax=True
    )
    assert np.isneginf(features).all()
    assert at is not None and (at == NO_WINDOW).all()


@given(st.integers(1, 6), st.integers(1, 12), st.sampled_from(["valid", "same", "wide"]))
def test_windows_are_as_many_as_the_formula_says(width: int, length: int, padding: Padding) -> None:
    """(N + 2P - F) / S + 1 with stride 1, counted by which window wins when each is made to."""
    windows = Windows((width,), (1,), padding)
    left, right = windows.pad(width)
    expected = max(1, length + left + right - width + 1)
    starts = set()
    for winner in range(length):
        for k in range(width):
            table = np.zeros((length, width), np.float32)
            table[winner, k] = 1.0
            features, at = gather_max_ref(
                table, np.arange(length, dtype=np.int32), np.array([0, length]), windows, argmax=True
            )
            assert at is not None
            if features[0, 0] > 0:
                starts.add(int(at[0, 0]))
    assert len(starts) == expected or (padding == "valid" and length < width)


@compiled
@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("reverse", [False, True])
def test_compiled_sums_equal_numpy(window: int, reverse: bool) -> None:
    generator = np.random.default_rng(4)
    batch = random_batch(generator, texts=70, words=20, longest=6)
    table = generator.normal(size=(20, window * 37)).astype(np.float32)
    fast = gather_sum(table, batch.values, batch.offsets, window, reverse=reverse, threads=2)
    slow = gather_sum_ref(table, batch.values, batch.offsets, window, reverse=reverse)
    np.testing.assert_allclose(fast, slow, atol=1e-5)


@compiled
def test_projected_rows_do_not_depend_on_their_company() -> None:
    generator = np.random.default_rng(2)
    embedding, weight = (
        generator.normal(size=(9, 37)).astype(np.float32),
        generator.normal(size=(70, 37)).astype(np.float32),
    )
    packed, ids = pack(weight), np.arange(9, dtype=np.int32)
    together = np.zeros((9, 70), np.float32)
    project(embedding, packed, ids, ids, together)
    np.testing.assert_allclose(together, embedding @ weight.T, atol=1e-4)
    for word in range(9):
        alone = np.zeros((9, 70), np.float32)
        project(embedding, packed, ids[word : word + 1], ids[word : word + 1], alone)
        np.testing.assert_array_equal(alone[word], together[word])


@pytest.mark.parametrize("module", [native(), None], ids=["compiled", "numpy"])
def test_groups_project_their_own_part_of_the_vectors(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    if module is None:
        monkeypatch.setattr("textcnn.kernels.table_gather.native", lambda: None)
    generator = np.random.default_rng(2)
    embedding, weight = (generator.normal(size=shape).astype(np.float32) for shape in ((9, 12), (210, 4)))
    ids, slots = np.array([8, 0, 3], np.int32), np.array([2, 0, 1], np.int32)
    out = np.zeros((3, 210), np.float32)
    project(embedding, pack(weight, 3), ids, slots, out)
    for group in range(3):
        columns, dims = slice(70 * group, 70 * (group + 1)), slice(4 * group, 4 * (group + 1))
        expected = embedding[ids][:, dims] @ weight[columns].T
        np.testing.assert_allclose(out[slots][:, columns], expected, atol=1e-5)


@compiled
def test_affine_has_the_same_bits_alone_and_in_a_batch() -> None:
    generator = np.random.default_rng(3)
    x, weight = generator.normal(size=(7, 301)).astype(np.float32), generator.normal(size=(5, 301)).astype(np.float32)
    bias = generator.normal(size=5).astype(np.float32)
    together = affine(x, weight, bias)
    np.testing.assert_allclose(together, x @ weight.T + bias, atol=1e-4)
    for row in range(7):
        np.testing.assert_array_equal(affine(x[row : row + 1], weight, bias)[0], together[row])


# Prints the instruction set in use, and fails unless it gives numpy's numbers.
PARITY = """
import numpy as np
from textcnn.kernels import _native
from textcnn.kernels.merge_windows import merge_windows_ref
from textcnn.kernels.softmax import softmax, softmax_ref
from textcnn.kernels.table_gather import affine, gather_max, gather_max_ref, pack, project
from textcnn.kernels.table_logits import TableLogits
from textcnn.kernels.windows import Windows
from textcnn.types import TokenBatch

random = np.random.default_rng(0)
values, offsets = random.integers(0, 50, 150).astype(np.int32), np.array([0, 1, 1, 8, 60, 62, 150])
for padding in ("valid", "same", "wide"):
    for filters in ((3, 5, 1), (100, 100, 100), (16, 41, 130)):
        windows = Windows((1, 3, 6), filters, padding)
        for precision in ("float32", "float16", "int8"):
            table = (random.normal(size=(50, windows.rows)) * (30 if precision == "int8" else 1)).astype(precision)
            scale = random.random(windows.features, np.float32) if precision == "int8" else None
            fast, at = gather_max(table, values, offsets, windows, scale=scale, argmax=True)
            slow, expected_at = gather_max_ref(table, values, offsets, windows, scale=scale, argmax=True)
            np.testing.assert_allclose(fast, slow, atol=1e-5)
            np.testing.assert_array_equal(at, expected_at)
            weight, zeros = random.normal(size=(3, windows.features)).astype(np.float32), np.zeros(1000, np.float32)
            rest = (zeros[: windows.features], "identity", weight, zeros[:3])
            layers = TableLogits(table, np.ones(50, bool), windows, *rest, scale=scale)
            _, largest, evidence = layers.evidence(TokenBatch(values, offsets))
            slow[np.diff(offsets) == 0] = 0
            expected = merge_windows_ref(slow, weight, at, at + windows.width_of_feature, largest, offsets)
            np.testing.assert_array_equal(evidence.starts, expected.starts)
            np.testing.assert_array_equal(evidence.ends, expected.ends)
            np.testing.assert_allclose(evidence.contributions, expected.contributions, atol=1e-4)
x, weight = random.normal(size=(9, 37)).astype(np.float32), random.normal(size=(70, 37)).astype(np.float32)
rows, out = np.arange(9, dtype=np.int32), np.zeros((9, 70), np.float32)
project(x, pack(weight), rows, rows, out)
np.testing.assert_allclose(out, x @ weight.T, atol=1e-4)
np.testing.assert_allclose(affine(x, weight, np.zeros(70, np.float32)), out, atol=1e-4)
np.testing.assert_allclose(softmax(x, temperature=0.2), softmax_ref(x, temperature=0.2), rtol=3e-7)
print(_native.instruction_set)
"""


@compiled
@pytest.mark.parametrize("instruction_set", ["base", "v3", "v4"])
def test_older_instruction_sets_give_the_same_numbers(instruction_set: str) -> None:
    """The choice is made once at import, so each has a process of its own; a newer one than there is falls back."""
    environment = {**os.environ, "TEXTCNN_INSTRUCTION_SET": instruction_set}
    done = subprocess.run([sys.executable, "-c", PARITY], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if instruction_set == "base":
        assert done.stdout == "base\n"
