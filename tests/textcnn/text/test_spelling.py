from __future__ import annotations

import copy

import numpy as np

from textcnn.config import TextConfig
from textcnn.text.spelling import LONGEST, Speller
from textcnn.text.tokenizers import Tokenizer

TEXTS = ["The parcel, the courier", "where is my parcel?", "naïve été 部电"]


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """Every token of a text as its characters spell it."""
    batch = tokenizer.encode([text])
    assert tokenizer.speller and batch.spelling
    characters = tokenizer.speller.characters
    return ["".join(characters[i] for i in word) for word in batch.spelling.take(batch.values)]


def test_a_word_is_its_characters_between_two_marks() -> None:
    speller = Speller(["<pad>", "<unk>", "ab", "c"])
    assert speller.characters == ["<pad>", "<unk>", "<word>", "</word>", "a", "b", "c"]
    assert [word.tolist() for word in speller(["ba", "", "cxc"])] == [[2, 5, 4, 3], [], [2, 6, 1, 6, 3]]
    assert [word.tolist() for word in speller.known] == [[], [], [2, 4, 5, 3], [2, 6, 3]]
    assert [word.tolist() for word in Speller(["<pad>", "<unk>"])(["a"])] == [[2, 1, 3]]
    assert speller([]).offsets.tolist() == [0]
    assert speller(["a" * 1000]).lengths.tolist() == [LONGEST + 2]


def test_known_and_unknown_words_are_spelled_as_the_vocabulary_is_normalized() -> None:
    found = words_of(Tokenizer.learn(TEXTS, TextConfig(), spelled=True), "THE Parzel is e\u0301te\u0301 \ud800 ☃")
    assert found == [
        "<word>the</word>", "<word>par<unk>el</word>", "<word>is</word>", "<word>été</word>", "<word><unk></word>",
        "<word><unk></word>",
    ]  # fmt: skip


def test_encoding_reading_and_a_copy_agree() -> None:
    tokenizer = Tokenizer.learn(TEXTS, TextConfig(max_length=4, truncation="both"), spelled=True)
    texts = ["", "parzel the parzel", "courier", "a b c d e f g", "\u1100\u1161 zz e\u0301x", "zz"]
    batch, reading = tokenizer.encode(texts), tokenizer.read(texts).batch
    other = copy.copy(tokenizer).encode(texts)
    for found in (reading, other):
        np.testing.assert_array_equal(found.values, batch.values)
        assert batch.spelling and found.spelling
        np.testing.assert_array_equal(found.spelling.unknown.values, batch.spelling.unknown.values)
    assert batch.values[0] == batch.values[2] != batch.values[3], "a word has one id in a batch"
    plain = Tokenizer.learn(TEXTS, TextConfig(max_length=4, truncation="both")).encode(texts)
    np.testing.assert_array_equal(plain.values == 1, batch.unknown)
    np.testing.assert_array_equal(plain.unknown, batch.unknown)
    assert plain.spelling is None
