"""From token ids to logits in one go: the bits of the kernels one after the other, and plain numpy's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from textcnn.kernels.character_ngrams import CharacterNgrams, character_ngrams
from textcnn.kernels.merge_windows import merge_windows_ref
from textcnn.kernels.native import native
from textcnn.kernels.ngram_linear import NgramLinear, ngrams
from textcnn.kernels.table_gather import Table, affine, gather_max, gather_max_ref
from textcnn.kernels.table_logits import FUSED, TableLogits
from textcnn.kernels.windows import Padding, Windows
from textcnn.text.spelling import letters_of
from textcnn.types import Floats, Spelling, TokenBatch

pytestmark = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
WORDS, CLASSES = 50, 5
UNSEEN = ["parcels", "ü", "部\U0001f600", "", "parcel", "x" * 99, "percale"]


@dataclass
class Model:
    """A network by table, and what stands beside it."""

    table: Table
    windows: Windows
    bias: Floats
    activation: str
    head: tuple[Floats, Floats]
    scale: Floats | None
    beside: NgramLinear | None

    def layers(self, **options: Any) -> TableLogits:
        there = options.pop("there", np.ones(WORDS, bool))
        given = self.table, there, self.windows, self.bias, self.activation, *self.head
        return TableLogits(*given, scale=self.scale, beside=self.beside, **options)

    def features(self, batch: TokenBatch, gather: Any = gather_max) -> tuple[Floats, Any]:
        """After max over time, bias and activation, step by step; and where the windows begin."""
        plain = batch.unspelled()
        features, starts = gather(self.table, plain.values, plain.offsets, self.windows, scale=self.scale, argmax=True)
        features += self.bias
        if self.activation == "relu":
            np.maximum(features, 0, out=features)
        features[batch.lengths == 0] = 0
        return features, starts

    def logits(self, batch: TokenBatch) -> Floats:
        """One kernel after the other."""
        logits = affine(self.features(batch)[0], *self.head)
        if self.beside:
            self.beside.add_logits(batch, logits)
        return logits


def made(
    activation: str = "relu", precision: str = "float32", *, padding: Padding = "same", beside: str = "characters"
) -> Model:
    draw = np.random.default_rng(3)
    windows = Windows((2, 5, 9), (37, 64, 3), padding)
    table: Any = (draw.normal(size=(WORDS, windows.rows)) * (30 if precision == "int8" else 1)).astype(precision)
    scale = draw.random(windows.features, np.float32) if precision == "int8" else None
    bias, weight, head_bias = (
        draw.normal(size=shape).astype(np.float32) for shape in (windows.features, (CLASSES, windows.features), CLASSES)
    )
    return Model(table, windows, bias, activation, (weight, head_bias), scale, linear(draw, beside) if beside else None)


def linear(draw: np.random.Generator, beside: str) -> NgramLinear:
    """A model of some n-grams of words, and, perhaps, of those of the characters of some words."""

    def of(keys: Any) -> tuple[Any, Floats, Floats]:
        scale = draw.uniform(0.5, 4, len(keys)).astype(np.float32)
        return keys, scale, draw.normal(size=(len(keys), CLASSES)).astype(np.float32)

    batch = drawn(np.random.default_rng(9), 30, outside=False)
    keys, *_ = ngrams(batch.values, batch.offsets, 3)
    written = np.unique(character_ngrams(letters_of(["parcel", "ü"]), 4)[1])
    characters = CharacterNgrams(*of(written), length=3.0, longest=4) if beside == "characters" else None
    return NgramLinear(*of(np.unique(keys)), draw.normal(size=CLASSES).astype(np.float32), characters)


def drawn(draw: np.random.Generator, texts: int, *, outside: bool = True) -> TokenBatch:
    """Texts of up to 80 words, some of them empty, some of their words unknown."""
    batch = TokenBatch.from_lists([draw.integers(0, WORDS, draw.integers(0, 81)).tolist() for _ in range(texts)])
    if not outside:
        return batch
    places = np.flatnonzero(draw.random(len(batch.values)) < 0.2)
    values = batch.values.copy()
    values[places] = WORDS + np.arange(len(places))
    words = [UNSEEN[number % len(UNSEEN)] for number in range(len(places))]
    return TokenBatch(values, batch.offsets, Spelling(WORDS, letters_of(words)))


@pytest.mark.parametrize("activation", FUSED)
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("beside", ["", "words", "characters"])
def test_logits_in_one_go_have_the_bits_of_those_step_by_step(
    activation: str, precision: str, threads: int, beside: str
) -> None:
    model, batch = made(activation, precision, beside=beside), drawn(np.random.default_rng(4), 150)
    found = model.layers(threads=threads).logits(batch)
    np.testing.assert_array_equal(found, model.logits(batch))
    assert batch.unknown.any()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("padding", ["valid", "same", "wide"])
@pytest.mark.parametrize("activation", FUSED)
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
def test_evidence_in_one_go_equals_numpy(padding: Padding, activation: str, precision: str, threads: int) -> None:
    model, batch = made(activation, precision, padding=padding), drawn(np.random.default_rng(5), 150)
    layers = model.layers(threads=threads)
    found = layers.evidence(batch)
    assert found is not None
    logits, largest, evidence = found
    np.testing.assert_array_equal(logits, layers.logits(batch))
    np.testing.assert_array_equal(largest, logits.argmax(axis=1))

    features, starts = model.features(batch, gather_max_ref)
    weight, head_bias = model.head
    expected = merge_windows_ref(
        features, weight, starts, starts + model.windows.width_of_feature, largest, batch.offsets
    )  # fmt: skip
    for column in ("offsets", "starts", "ends"):
        np.testing.assert_array_equal(getattr(evidence, column), getattr(expected, column))
    size = float(np.abs(expected.contributions).max())
    np.testing.assert_allclose(evidence.contributions, expected.contributions, atol=2e-5 * size)
    assert model.beside is not None
    plain = features @ weight.T + head_bias + model.beside._logits_ref(batch)
    np.testing.assert_allclose(logits, plain, atol=1e-5 * np.abs(plain).max())


def test_a_text_has_the_same_bits_alone_and_in_any_batch() -> None:
    model, batch = made(), drawn(np.random.default_rng(6), 70)
    layers = model.layers()
    together = layers.logits(batch)
    assert together is not None
    for row in range(70):
        alone = layers.logits(batch.take([row]))
        assert alone is not None
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("texts", [0, 1, 40])
def test_evidence_of_no_texts_and_of_empty_ones_is_empty(texts: int) -> None:
    model = made(beside="")
    found = model.layers(threads=2).evidence(TokenBatch.from_lists([[]] * texts))
    assert found is not None
    logits, largest, evidence = found
    assert logits.tolist() == [model.head[1].tolist()] * texts
    assert largest.tolist() == [int(model.head[1].argmax())] * texts
    assert evidence.offsets.tolist() == [0] * (texts + 1)
    assert not len(evidence.contributions)


@pytest.mark.parametrize("word", [7, WORDS, 2**31 - 1, -1])
@pytest.mark.parametrize("beside", ["", "characters"])
def test_logits_are_not_computed_where_a_row_is_not_there(word: int, beside: str) -> None:
    there = np.ones(WORDS, bool)
    there[7] = False
    layers = made(beside=beside).layers(there=there)
    batch = TokenBatch.from_lists([[1, 2], [word, 3]])
    assert layers.logits(batch) is None
    assert layers.evidence(batch) is None
    assert layers.logits(batch.take([0])) is not None
    nothing = layers.logits(TokenBatch.from_lists([]))
    assert nothing is not None and nothing.shape == (0, CLASSES)
    there[7] = True  # the arrays are those that were given
    assert (layers.logits(batch) is None) == (word != 7)


def test_words_outside_the_vocabulary_are_the_unknown_one_unless_the_table_spells_them() -> None:
    model = made(beside="")
    batch = TokenBatch(np.array([2, WORDS], np.int32), np.array([0, 2]), Spelling(WORDS, letters_of(["zyzzyva"])))
    unknown = TokenBatch.from_lists([[2, 1]])
    np.testing.assert_array_equal(model.layers().logits(batch), model.layers().logits(unknown))
    assert model.layers(spells=True).logits(batch) is None
    there = np.ones(WORDS, bool)
    there[1] = False
    assert model.layers(there=there).logits(batch) is None, "not even the unknown word has a row"


def test_ids_that_nobody_spells_add_nothing_to_the_n_grams() -> None:
    """A batch of other words than its spelling has is a mistake of ours, which must not read beyond arrays."""
    model = made()
    ids = np.array([2, WORDS + 1, 9 << 21], np.int32)
    batch = TokenBatch(ids, np.array([0, 3]), Spelling(WORDS, letters_of(["a"])))
    np.testing.assert_array_equal(
        model.layers().logits(batch),
        model.layers().logits(TokenBatch.from_lists([[2, 1, 1]])),
    )


@pytest.mark.parametrize("words", [["a" * 1_000_000], ["parcel"] * 100_000, ["\x00", "\ud800", "", "\U0010ffff"]])
def test_texts_of_strange_words_have_numbers_and_the_same_alone(words: list[str]) -> None:
    model = made()
    ids = np.arange(WORDS, WORDS + len(words), dtype=np.int32)
    offsets = np.array([0, len(ids), len(ids) + 1])
    batch = TokenBatch(np.append(ids, ids[:1]), offsets, Spelling(WORDS, letters_of(words)))
    layers = model.layers()
    found = layers.logits(batch)
    assert found is not None
    assert np.isfinite(found).all()
    alone = layers.logits(batch.take([1]))
    assert alone is not None
    np.testing.assert_array_equal(alone[0], found[1])
    evidence = layers.evidence(batch)
    assert evidence is not None
    np.testing.assert_array_equal(evidence[0], found)


def test_what_is_made_for_one_kernel_is_refused_by_another() -> None:
    module, layers = native(), made().layers()
    assert module is not None
    with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
        module.spell_words(layers._static[0], *(np.zeros(1, np.int64),) * 3, 0, 0)
    with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
        module.gather_logits(layers._static[1], *layers._static[1:], *(None,) * 2, 0, *(None,) * 8, 0, 0)
