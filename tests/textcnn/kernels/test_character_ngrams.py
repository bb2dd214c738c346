"""What unknown words are worth by their characters: compiled and plain agree, and both with a sum by hand."""

from __future__ import annotations

import pickle
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.kernels.character_ngrams import CharacterNgrams, character_ngrams
from textcnn.kernels.native import native
from textcnn.kernels.ngram_linear import NgramLinear
from textcnn.text.spelling import LONGEST, letters_of
from textcnn.types import Evidence, Floats, Spelling, TokenBatch

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
WORDS = st.lists(st.text("ab'部\U0001f600", max_size=LONGEST + 3), max_size=6)
PLAIN = ("character_ngrams", "ngram_linear")


def drawn(words: list[str], longest: int, classes: int, seed: int) -> CharacterNgrams:
    """A model of about half of the n-grams of some words."""
    draw = np.random.default_rng(seed)
    _, found = character_ngrams(letters_of(words), longest)
    keys = np.unique(found)
    keys = keys[draw.random(len(keys)) < 0.5]
    scale = draw.uniform(0.5, 4, len(keys)).astype(np.float32)
    weight = draw.normal(size=(len(keys), classes)).astype(np.float32)
    return CharacterNgrams(keys, scale, weight, length=float(draw.uniform(1, 9)), longest=longest)


@pytest.fixture(params=[pytest.param(True, marks=compiled), False])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled kernels, and without."""
    if not request.param:
        for module in PLAIN:
            monkeypatch.setattr(f"textcnn.kernels.{module}.native", lambda: None)


@compiled
@settings(deadline=None, max_examples=100)
@given(words=WORDS, longest=st.integers(2, 8), classes=st.integers(1, 9), seed=st.integers(0, 99))
def test_compiled_and_plain_agree(words: list[str], longest: int, classes: int, seed: int) -> None:
    model, letters = drawn(words, longest, classes, seed), letters_of(words)
    found = model.rows(letters)
    np.testing.assert_allclose(found, model._rows_ref(letters), atol=1e-4)
    for row in range(len(words)):
        np.testing.assert_array_equal(model.rows(letters.take([row]))[0], found[row])


@pytest.mark.usefixtures("either_way")
def test_the_n_grams_of_a_word_stand_between_two_marks_and_its_row_has_one_length() -> None:
    def keys_of(word: str, longest: int) -> list[int]:
        return character_ngrams(letters_of([word]), longest)[1].tolist()

    written = keys_of("ab", 3)
    assert len(written) == len("<a ab b> <ab ab>".split())
    assert set(written) & set(keys_of("cab", 3)) == {written[1], written[2], written[4]}
    first, last = keys_of("ab", 2)[0], keys_of("ab", 2)[2]
    weights = {first: (3.0, 2.0), last: (-1.0, 1.0)}  # weight and scale
    keys = np.array(sorted(weights), np.int64)
    model = CharacterNgrams(
        keys, np.array([weights[key][1] for key in keys.tolist()], np.float32),
        np.array([[weights[key][0], 0.5] for key in keys.tolist()], np.float32), length=4.0, longest=2,
    )  # fmt: skip
    rows = model.rows(letters_of(["ab", "ac", "cb", "ccc", ""]))
    np.testing.assert_allclose(rows[0], [4, 4 * (3 - 1) / sqrt(5), 4 * 1 / sqrt(5)], rtol=1e-6)
    np.testing.assert_allclose(rows[1], [4, 4 * 3 / 2, 4 * 0.5 / 2], rtol=1e-6)
    np.testing.assert_allclose(rows[2], [4, -4, 2], rtol=1e-6)
    assert not rows[3:].any(), "of words without an n-gram that is known nothing is known"


def ngrams_and_words() -> tuple[NgramLinear, TokenBatch]:
    """A vocabulary of 5, and texts of words outside it, some of which share n-grams with `parcel`."""
    words = ["parcels", "ü", "parcel", "", "percale"]
    letters = letters_of(["parcel"])
    known = np.unique(character_ngrams(letters, 4)[1])
    draw = np.random.default_rng(1)
    scale = draw.uniform(1, 2, len(known)).astype(np.float32)
    spelled = CharacterNgrams(known, scale, draw.normal(size=(len(known), 3)).astype(np.float32), length=3.0, longest=4)
    keys = np.array([2, 3, 2 | 3 << 21], np.int64)
    model = NgramLinear(
        keys, np.ones(3, np.float32), draw.normal(size=(3, 3)).astype(np.float32), np.ones(3, np.float32), spelled
    )
    texts = TokenBatch.from_lists([[2, 3, 5], [6], [], [7, 7, 2, 8, 3], [9, 4, 1, 0]])
    return model, TokenBatch(texts.values, texts.offsets, Spelling(5, letters_of(words)))


def logits(model: NgramLinear, batch: TokenBatch) -> Floats:
    out = np.zeros((len(batch), 3), np.float32)
    model.add_logits(batch, out)
    return out


@pytest.mark.usefixtures("either_way")
def test_unknown_words_are_n_grams_by_themselves_and_stand_in_the_evidence() -> None:
    model, batch = ngrams_and_words()
    assert model.characters is not None
    found = logits(model, batch)
    word = model.characters.rows(letters_of(["parcels"]))[0]
    first = (model.weight.sum(axis=0) + word[1:]) / sqrt(3 + 9) + 1
    np.testing.assert_allclose(found[0], first, rtol=1e-5)
    np.testing.assert_allclose(found[[1, 2]], 1, err_msg="nothing is known of it")
    none = np.zeros(0, np.int64)
    nothing = Evidence(np.zeros(len(batch) + 1, np.int64), none, none, np.zeros(0))
    targets = np.array([0, 1, 2, 0, 1])
    for signs in (None, np.eye(3, dtype=np.float32)[targets]):
        evidence, own = model.add_evidence(nothing, batch, targets, signs)
        assert np.diff(evidence.offsets).tolist() == [4, 0, 0, 4, 1]
        assert evidence.starts[evidence.offsets[3] :].tolist() == [0, 1, 2, 4, 0]
        sums = [part.sum() for part in np.split(own, evidence.offsets[1:-1])]
        np.testing.assert_allclose(sums, found[np.arange(5), targets] - 1, atol=1e-5)


@pytest.mark.usefixtures("either_way")
def test_a_text_with_unknown_words_has_the_same_bits_alone_and_in_any_batch() -> None:
    model, batch = ngrams_and_words()
    for number, text in enumerate(batch):
        outside = text[text >= 5]
        own = text.copy()
        own[text >= 5] = 5 + np.arange(len(outside))
        assert batch.spelling is not None
        spelling = Spelling(5, batch.spelling.letters.take(outside - 5))
        alone = TokenBatch(own, np.array([0, len(own)]), spelling)
        np.testing.assert_array_equal(logits(model, alone)[0], logits(model, batch)[number])


@compiled
def test_compiled_and_plain_logits_and_evidence_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = ngrams_and_words()
    np.testing.assert_allclose(logits(model, batch), model._logits_ref(batch), atol=1e-6)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301 - just made here
    np.testing.assert_array_equal(logits(copy, batch), logits(model, batch))
    compiled_rows = logits(model, batch)
    for module in PLAIN:
        monkeypatch.setattr(f"textcnn.kernels.{module}.native", lambda: None)
    np.testing.assert_allclose(logits(pickle.loads(pickle.dumps(model)), batch), compiled_rows, atol=1e-6)  # noqa: S301 - ours
    halved = logits(model.times(0.5), batch)
    np.testing.assert_allclose(halved, compiled_rows / 2, atol=1e-6)


@pytest.mark.usefixtures("either_way")
def test_a_model_of_no_character_n_gram_knows_no_word() -> None:
    model = CharacterNgrams(
        np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.float32), length=1.0, longest=5
    )
    assert model.rows(letters_of(["parcel", ""])).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert model.rows(letters_of([])).shape == (0, 3)
