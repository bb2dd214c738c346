"""Where breaks stand among the tokens, and which characters the tokens are."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from textcnn.config import TextConfig
from textcnn.text.segments import parts_of, sentence_of, split_sentences
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import BREAK_ID, TEXT_BREAK, join_texts, split_texts

DOCUMENTS = ["Dr. Lee came. He left! Why?", "", "one", "  ... ", "Ça va? Très bien. \ud800 Fin.", "日本語です。はい。"]
RECORDS = [("where is it", "it is here"), ("", ""), ("", "here"), ("where", ""), ("é\x1fa", "\ud800 it"), ("it is", "")]


def learn(segments: str, **options: object) -> Tokenizer:
    texts = DOCUMENTS if segments == "sentences" else [join_texts(record) for record in RECORDS]
    return Tokenizer.learn(texts, TextConfig.model_validate({"segments": segments, **options}))


def segments_of(tokenizer: Tokenizer, text: str) -> list[list[str]]:
    (ids,) = tokenizer.encode([text])
    parts: list[list[str]] = [[]]
    for number in ids.tolist():
        if number == BREAK_ID:
            parts.append([])
        else:
            parts[-1].append(tokenizer.tokens[number])
    return parts


def test_a_break_stands_between_sentences() -> None:
    tokenizer = learn("sentences")
    assert segments_of(tokenizer, DOCUMENTS[0]) == [["dr", ".", "lee", "came", "."], ["he", "left", "!"], ["why", "?"]]
    assert segments_of(tokenizer, "") == [[]]
    assert len(segments_of(tokenizer, DOCUMENTS[5])) == 2


def test_a_break_stands_between_the_texts_of_a_record_and_holds_the_place_of_an_empty_one() -> None:
    tokenizer = learn("columns")
    for record in RECORDS:
        assert len(segments_of(tokenizer, join_texts(record))) == 2
    assert segments_of(tokenizer, join_texts(RECORDS[0])) == [["where", "is", "it"], ["it", "is", "here"]]
    assert segments_of(tokenizer, join_texts(RECORDS[2])) == [[], ["here"]]


def test_a_text_keeps_its_own_separators_to_itself() -> None:
    record = join_texts(["a\x1fb", "c"])
    assert split_texts(record) == ["a b", "c"] and record.count(TEXT_BREAK) == 1


@pytest.mark.parametrize("kind", ["word", "character", "bpe", "unigram"])
@pytest.mark.parametrize("segments", ["columns", "sentences"])
def test_every_token_says_which_characters_it_is(segments: str, kind: str) -> None:
    tokenizer = learn(segments, tokenizer=kind, max_vocabulary=200)
    texts = DOCUMENTS if segments == "sentences" else [join_texts(record) for record in RECORDS]
    reading = tokenizer.read(texts)
    plain = Tokenizer.from_json(tokenizer.to_json(), TextConfig(tokenizer=kind))
    np.testing.assert_array_equal(tokenizer.encode(texts).values, reading.batch.values)
    assert len(reading.spans) == len(reading.batch.values)
    for row, text in enumerate(texts):
        part = slice(reading.batch.offsets[row], reading.batch.offsets[row + 1])
        ids, spans = reading.batch.values[part], reading.spans[part]
        words = ids != BREAK_ID
        assert (np.diff(spans[:, 0]) >= 0).all(), "in the order of the text"
        assert (spans[~words, 0] == spans[~words, 1]).all(), "a break is no character"
        if segments == "columns":
            assert spans[~words, 0].tolist() == [place for place, one in enumerate(text) if one == TEXT_BREAK]
        assert "\x1f" not in "".join(text[a:b] for a, b in spans[words].tolist())
        # the same tokens from the same places as without breaks, text by text
        begin = 0
        expected: list[tuple[int, int, int]] = []
        for piece in split_texts(text) if segments == "columns" else [text]:
            own = plain.read([piece])
            expected += [
                (i, a + begin, b + begin) for i, (a, b) in zip(own.batch.values, own.spans.tolist(), strict=True)
            ]
            begin += len(piece) + 1
        assert [(i, *span) for i, span in zip(ids[words], spans[words].tolist(), strict=True)] == expected


@pytest.mark.parametrize(("truncation", "kept"), [("head", ["a", "b"]), ("tail", ["b", "c"]), ("both", ["a", "c"])])
def test_each_text_of_a_record_is_cut_by_itself(truncation: str, kept: list[str]) -> None:
    config = TextConfig.model_validate({"segments": "columns", "max_length": 2, "truncation": truncation})
    tokenizer = Tokenizer.learn(["a b c", "x"], config)
    record = join_texts(["x", "a b c"])
    assert segments_of(tokenizer, record) == [["x"], kept]
    start, end = tokenizer.read([record]).unread[0].tolist()
    assert record[start:end] == {"head": "c", "tail": "a", "both": "b"}[truncation]


def test_of_several_texts_that_are_cut_the_first_is_told() -> None:
    config = TextConfig.model_validate({"segments": "columns", "max_length": 1})
    tokenizer = Tokenizer.learn(["a b c"], config)
    record = join_texts(["a", "a b", "b c"])
    start, end = tokenizer.read([record]).unread[0].tolist()
    assert (start, record[start:end]) == (4, "b")


def test_a_record_is_taken_apart_where_the_model_reads_several_texts() -> None:
    record = join_texts(["a", "b"])
    assert parts_of(record, TextConfig.model_validate({"segments": "columns"})) == ["a", "b"]
    for segments in ("none", "sentences"):
        assert parts_of(record, TextConfig.model_validate({"segments": segments})) == [record]


def test_a_sentence_has_no_white_space_around_it() -> None:
    text = "  One two.  \n Three!\t "
    assert [text[a:b] for a, b in split_sentences(text, "en")] == ["One two.", "Three!"]
    assert split_sentences(" \n ", "en") == split_sentences("", "en") == []


def test_what_stands_before_the_first_sentence_belongs_to_it() -> None:
    spans = np.array([[0, 1], [2, 4], [5, 6], [6, 7], [9, 9]])
    assert sentence_of(spans, [(2, 5), (6, 8)]).tolist() == [0, 0, 0, 1, 1]


def test_all_sentences_together_are_cut() -> None:
    tokenizer = Tokenizer.learn(["One two. Three four."], TextConfig(segments="sentences", max_length=4))
    assert segments_of(tokenizer, "One two. Three four.") == [["one", "two", "."], ["three"]]


def test_copies_and_other_processes_read_alike() -> None:
    tokenizer = learn("columns")
    again = copy.deepcopy(tokenizer)
    assert again.segments == "columns"
    np.testing.assert_array_equal(again.encode(["a\x1fb"]).values, tokenizer.encode(["a\x1fb"]).values)
