from __future__ import annotations

import copy

import numpy as np

from textcnn.config import TextConfig
from textcnn.text.spelling import LONGEST, Speller, letters_of
from textcnn.text.tokenizers import Tokenizer

TEXTS = ["The parcel, the courier", "where is my parcel?", "naïve été 部电"]


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """Every token of a text as its characters spell it."""
    batch = tokenizer.encode([text])
    assert tokenizer.speller and batch.spelling and batch.spelling.characters
    characters = tokenizer.speller.characters
    return ["".join(characters[i] for i in word) for word in batch.spelling.characters.take(batch.values)]


def test_a_word_is_its_characters_between_two_marks() -> None:
    speller = Speller(["<pad>", "<unk>", "ab", "c"])
    assert speller.characters == ["<pad>", "<unk>", "<word>", "</word>", "a", "b", "c"]
    assert [word.tolist() for word in speller(letters_of(["ba", "", "cxc"]))] == [[2, 5, 4, 3], [], [2, 6, 1, 6, 3]]
    assert [word.tolist() for word in speller.known] == [[], [], [2, 4, 5, 3], [2, 6, 3]]
    assert [word.tolist() for word in Speller(["<pad>", "<unk>"])(letters_of(["a"]))] == [[2, 1, 3]]
    assert speller(letters_of([])).offsets.tolist() == [0]
    assert speller(letters_of(["a" * 1000])).lengths.tolist() == [LONGEST + 2]


def test_known_and_unknown_words_are_spelled_as_the_vocabulary_is_normalized() -> None:
    found = words_of(Tokenizer.learn(TEXTS, TextConfig(), spelled="all"), "THE Parzel is e\u0301te\u0301 \ud800 ☃")
    assert found == [
        "<word>the</word>", "<word>par<unk>el</word>", "<word>is</word>", "<word>été</word>", "<word><unk></word>",
        "<word><unk></word>",
    ]  # fmt: skip


def test_encoding_reading_and_a_copy_agree() -> None:
    tokenizer = Tokenizer.learn(TEXTS, TextConfig(max_length=4, truncation="both"), spelled="all")
    texts = ["", "parzel the parzel", "courier", "a b c d e f g", "\u1100\u1161 zz e\u0301x", "zz"]
    batch, reading = tokenizer.encode(texts), tokenizer.read(texts).batch
    other = copy.copy(tokenizer).encode(texts)
    for found in (reading, other):
        np.testing.assert_array_equal(found.values, batch.values)
        assert batch.spelling and found.spelling
        for ours, theirs in zip(batch.spelling.letters, found.spelling.letters, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    plain = Tokenizer.learn(TEXTS, TextConfig(max_length=4, truncation="both")).encode(texts)
    np.testing.assert_array_equal(plain.values == 1, batch.unknown)
    np.testing.assert_array_equal(plain.unknown, batch.unknown)
    assert plain.spelling is None


def test_compiled_and_hf_agree_on_how_unknown_words_are_written() -> None:
    """Of a word no more than LONGEST characters; of a text that is cut only what is kept."""
    texts = [
        "", "Parzel the PARZEL", "İzmir naïve e\u0301te\u0301 ☃️ 部x 🇫🇷", "x" * 100 + " " + "部é" * 80,
        "a b c d e f g zz", "\u1100\u1161 zz e\u0301x", "zz don't 'tis it's \ud800", "ΑΣΣ ﬁn 𝔘nd",
    ]  # fmt: skip
    for truncation in ("head", "tail", "both"):
        config = TextConfig(max_length=4, truncation=truncation)
        tokenizer = Tokenizer.learn(TEXTS, config, spelled="unknown")
        plain = Tokenizer.learn(TEXTS, config, spelled="unknown")
        plain._words = None
        for batch in (tokenizer.encode(texts), tokenizer.read(texts).batch):
            expected = plain.encode(texts)
            np.testing.assert_array_equal(batch.offsets, expected.offsets)
            np.testing.assert_array_equal(batch.unknown, expected.unknown)
            assert batch.spelling and expected.spelling and batch.spelling.characters is None
            size = len(tokenizer)
            for one, other in zip(batch.values.tolist(), expected.values.tolist(), strict=True):
                assert (one < size) == (other < size)
                if one < size:
                    assert one == other
                    continue
                letters = batch.spelling.letters.take([one - size]).values
                np.testing.assert_array_equal(letters, expected.spelling.letters.take([other - size]).values)
                assert len(letters) <= LONGEST
            np.testing.assert_array_equal(batch.unspelled().values, Tokenizer.learn(TEXTS, config).encode(texts).values)


def test_some_texts_of_a_batch_keep_the_spelling_of_their_own_words_alone() -> None:
    """Each text by itself, as occlusion takes them, would otherwise drag along the words of all others."""
    tokenizer = Tokenizer.learn(TEXTS, TextConfig(), spelled="all")
    texts = [f"parcel zz{number} the qq{number} zz{number}" for number in range(100)] + ["parcel", ""]
    batch = tokenizer.encode(texts)
    assert batch.spelling
    assert len(batch.spelling.letters) == 300
    kept = 0
    for row, text in enumerate(texts):
        part, alone = batch.take([row]), tokenizer.encode([text])
        assert part.spelling and part.spelling.characters and alone.spelling and alone.spelling.characters
        kept += len(part.spelling.letters)
        assert len(part.spelling.characters.unknown) == len(part.spelling.letters) == len(alone.spelling.letters)
        np.testing.assert_array_equal(part.values, alone.values)
        np.testing.assert_array_equal(part.spelling.letters.values, alone.spelling.letters.values)
    assert kept == 300
    twice = batch.take([5, 101, 5])
    assert twice.spelling
    assert len(twice.spelling.letters) == 3
    first, empty, second = twice
    np.testing.assert_array_equal(first, second)
    assert not len(empty)
    speller, characters = tokenizer.speller, twice.spelling.characters
    assert speller and characters
    assert words_of(tokenizer, texts[5]) == [
        "".join(speller.characters[i] for i in word) for word in characters.take(first)
    ]
    np.testing.assert_array_equal(batch.unspelled().take([5, 101, 5]).values, twice.unspelled().values)
