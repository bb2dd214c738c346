"""A linear model on n-grams: compiled and plain agree, and both with a sum written out by hand."""

from __future__ import annotations

import pickle
from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.kernels.native import native
from textcnn.kernels.ngram_linear import ID_BITS, NgramLinear, ngrams
from textcnn.types import Evidence, Floats, TokenBatch

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
TEXTS = st.lists(
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 1 << 20, (1 << 21) - 1, 1 << 21, (9 << 21) + 9]), max_size=90),
    max_size=4,
)


def key(*ids: int) -> int:
    return sum(token << (ID_BITS * place) for place, token in enumerate(ids))


def drawn(texts: list[list[int]], longest: int, classes: int, seed: int) -> NgramLinear:
    """A model of about half of the n-grams of some texts, and of others."""
    draw, batch = np.random.default_rng(seed), TokenBatch.from_lists(texts)
    found, *_ = ngrams(batch.values, batch.offsets, longest)
    known = np.unique(np.append(found[draw.random(len(found)) < 0.5], [key(9), key(9, 9)][:longest]))
    scale = draw.uniform(0.5, 4, len(known)).astype(np.float32)
    weight = draw.normal(size=(len(known), classes)).astype(np.float32)
    return NgramLinear(known, scale, weight, draw.normal(size=classes).astype(np.float32))


def logits(model: NgramLinear, batch: TokenBatch) -> Floats:
    out = np.zeros((len(batch), len(model.bias)), np.float32)
    model.add_logits(batch, out)
    return out


@compiled
@settings(deadline=None, max_examples=150)
@given(texts=TEXTS, longest=st.integers(1, 3), classes=st.integers(1, 20), seed=st.integers(0, 99))
def test_compiled_and_plain_agree(texts: list[list[int]], longest: int, classes: int, seed: int) -> None:
    model, batch, draw = drawn(texts, longest, classes, seed), TokenBatch.from_lists(texts), np.random.default_rng(seed)
    np.testing.assert_allclose(logits(model, batch), model._logits_ref(batch), atol=2e-5)
    there = windows(batch, draw)
    targets = draw.integers(0, classes, len(batch))
    signs = draw.normal(size=(len(batch), classes)).astype(np.float32)
    for given_signs in (None, signs):
        found, own = model.add_evidence(there, batch, targets, given_signs)
        plain, plain_own = model._evidence_ref(there, batch, targets, given_signs)
        np.testing.assert_allclose(own, plain_own, atol=1e-9)
        for column in ("offsets", "starts", "ends", "contributions", "slots"):
            a, b = getattr(found, column), getattr(plain, column)
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, atol=1e-9)


def windows(batch: TokenBatch, draw: np.random.Generator) -> Evidence:
    """Some windows of each text, in order, and slots that point at them or at none."""
    rows, bounds = [], [0]
    for length in batch.lengths.tolist():
        spans = {
            (start, min(length, start + int(draw.integers(1, 6)))) for start in range(length) if draw.random() < 0.4
        }
        rows += sorted(spans)
        bounds.append(len(rows))
    starts, ends = np.array(rows, np.int64).reshape(-1, 2).T.copy()
    slots = (
        draw.integers(-1, len(rows), (len(batch), 3)).astype(np.int32)
        if rows
        else np.full((len(batch), 3), -1, np.int32)
    )
    return Evidence(np.array(bounds, np.int64), starts, ends, draw.normal(size=len(rows)), slots)


@pytest.fixture(params=[pytest.param(True, marks=compiled), False])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled kernels, and without."""
    if not request.param:
        monkeypatch.setattr("textcnn.kernels.ngram_linear.native", lambda: None)


@pytest.mark.usefixtures("either_way")
def test_a_logit_is_the_sum_of_the_weights_of_n_grams_over_the_length_of_the_text() -> None:
    weights = {key(2): 1.0, key(3): -2.0, key(2, 3): 0.5, key(2, 3, 2): 4.0, key(7): 8.0}
    scales = {key(2): 1.0, key(3): 2.0, key(2, 3): 3.0, key(2, 3, 2): 0.5, key(7): 9.0}
    keys = np.array(sorted(weights), np.int64)
    model = NgramLinear(
        keys, np.array([scales[k] for k in keys.tolist()], np.float32),
        np.array([[weights[k], 0] for k in keys.tolist()], np.float32), np.array([0.25, -1], np.float32),
    )  # fmt: skip
    # what is unknown (1) is in no n-gram, and none reaches over it or into the next text
    batch = TokenBatch.from_lists([[2, 3, 2], [2, 1, 3], [], [5, 6], [2, 3]])
    there = Counter({key(2): 2, key(3): 1, key(2, 3): 1, key(2, 3, 2): 1})
    length = sqrt(sum(count * scales[k] ** 2 for k, count in there.items()))
    expected = [
        sum(count * weights[k] for k, count in there.items()) / length,
        -1.0 / sqrt(5), 0.0, 0.0, -0.5 / sqrt(14),
    ]  # fmt: skip
    np.testing.assert_allclose(logits(model, batch)[:, 0], np.array(expected) + 0.25, rtol=1e-6)
    np.testing.assert_allclose(logits(model, batch)[:, 1], -1)


@pytest.mark.usefixtures("either_way")
def test_n_grams_make_up_the_logit_together_with_the_windows_that_were_there() -> None:
    draw = np.random.default_rng(3)
    texts = [draw.integers(1, 6, size).tolist() for size in (0, 1, 7, 200)]
    model, batch = drawn(texts, 3, 4, 5), TokenBatch.from_lists(texts)
    there, targets = windows(batch, draw), np.array([1, 0, 3, 2])
    found, own = model.add_evidence(there, batch, targets)
    before = [part.sum() for part in np.split(there.contributions, there.offsets[1:-1])]
    after = [part.sum() for part in np.split(found.contributions, found.offsets[1:-1])]
    linear = logits(model, batch)[np.arange(4), targets] - model.bias[targets]
    np.testing.assert_allclose(np.array(after), np.array(before) + linear, atol=1e-5)
    np.testing.assert_allclose([part.sum() for part in np.split(own, found.offsets[1:-1])], linear, atol=1e-5)
    for first, last in zip(found.offsets[:-1], found.offsets[1:], strict=True):
        spans = list(zip(found.starts[first:last].tolist(), found.ends[first:last].tolist(), strict=True))
        assert spans == sorted(set(spans))
    assert there.slots is not None
    assert found.slots is not None
    assert ((found.slots < 0) == (there.slots < 0)).all()
    chosen = there.slots >= 0
    np.testing.assert_array_equal(found.starts[found.slots[chosen]], there.starts[there.slots[chosen]])


@compiled
def test_a_text_has_the_same_bits_alone_and_in_any_batch_and_with_any_number_of_threads() -> None:
    draw = np.random.default_rng(0)
    texts = [draw.integers(1, 9, draw.integers(0, 150)).tolist() for _ in range(300)]
    model, batch = drawn(texts, 3, 5, 1), TokenBatch.from_lists(texts)
    together, threaded = logits(model, batch), np.zeros((300, 5), np.float32)
    model.add_logits(batch, threaded, threads=2)
    np.testing.assert_array_equal(together, threaded)
    for row in range(0, 300, 7):
        np.testing.assert_array_equal(logits(model, TokenBatch.from_lists([texts[row]]))[0], together[row])


@pytest.mark.usefixtures("either_way")
def test_a_model_of_no_n_gram_has_its_bias() -> None:
    nothing = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.float32)
    model = NgramLinear(*nothing, np.ones(2, np.float32))
    assert logits(model, TokenBatch.from_lists([[2, 3], []])).tolist() == [[1, 1], [1, 1]]


@compiled
def test_a_copy_in_another_process_makes_its_own_hash_table(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[2, 3, 2], [4]]
    batch, model = TokenBatch.from_lists(texts), drawn(texts, 3, 2, 0)
    with monkeypatch.context() as plain:
        plain.setattr("textcnn.kernels.ngram_linear.native", lambda: None)
        sent = pickle.dumps(drawn(texts, 3, 2, 0))
    np.testing.assert_array_equal(logits(pickle.loads(sent), batch), logits(model, batch))  # noqa: S301 - just made here
    assert len(pickle.dumps(model)) == len(sent)
