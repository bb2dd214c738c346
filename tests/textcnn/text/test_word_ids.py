"""The compiled words-to-ids against HF, its reference: the ids are the same for every text."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.config import TextConfig
from textcnn.text import word_ids
from textcnn.text.tokenizers import Tokenizer

compiled = pytest.mark.skipif(word_ids._word_ids is None, reason="textcnn.text._word_ids is not compiled")
Edit = Callable[[dict[str, Any]], object]


def learn(texts: list[str], **settings: Any) -> Tokenizer:
    return Tokenizer.learn(texts, TextConfig(**settings))


def by_hf(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [ids.tolist() for ids in tokenizer._encode_by_hf(texts)]


def by_us(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [ids.tolist() for ids in tokenizer.encode(texts)]


# What the grammar treats in its own way, and what lies close to it.
_TRICKY = (
    "aBsmdlrevS019_'’‘`.!-#$ \t\n\r\0\x7f\x85\xa0\xad\u200b\u200c\u200d\u2028\u3000\ufe0e\ufe0f\ufeff\ufffd"
    "éİıßſΣςЙйІїґ中々〇ー一가각각ｶﾞㅏＡ＇ﬁ½Ⅷ①…²₂ºทิำက္្ँ्ােী\u0300\u0301\u0327\u0338\u0345\u20e3👍🏽🏿❤👩💻🏴🇷🇺🇿😀𝐀𐐀\ud800\udfff\U0010ffff"
)
_PIECES = st.sampled_from(["n't", "'s", "’ll", "'RE", "'ve", "rock'n'roll", "abcdefgh", "abcdefghi", "кириллица", "  "])
_TEXTS = st.lists(
    st.lists(st.sampled_from(_TRICKY) | _PIECES | st.characters(exclude_categories=()), max_size=12).map("".join),
    max_size=5,
)
_ALL = [
    learn(["aB bb s m d ll re ve 's n't 中 가 é й 👍🏽 abcdefgh abcdefghi кириллица rock'n'roll", *_TRICKY], **settings)
    for settings in (
        {},
        {"normalization": "nfkc", "max_length": 3, "truncation": "tail"},
        {"normalization": "none", "lowercase": False, "max_length": 3, "truncation": "both"},
        {"normalization": "nfkc", "lowercase": False, "max_length": 1},
    )
]


@compiled
@settings(deadline=None, max_examples=100)
@given(_TEXTS)
def test_any_texts_have_the_ids_that_hf_gives(texts: list[str]) -> None:
    for tokenizer in _ALL:
        assert tokenizer.why_not_compiled is None
        assert by_us(tokenizer, texts) == by_hf(tokenizer, texts)


@compiled
@pytest.mark.parametrize("normalization", ["nfc", "nfkc"])
def test_every_code_point_of_the_basic_plane_has_the_ids_that_hf_gives(normalization: str) -> None:
    characters = [chr(code) for code in range(0x10000)]
    # alone, between letters, doubled; and all words known, so that no two of them pass for the same
    texts = [f"{c} a{c}a {c}{c}" for c in characters]
    tokenizer = learn(texts, normalization=normalization, max_vocabulary=1_000_000)
    ours, theirs = tokenizer.encode(texts), tokenizer._encode_by_hf(texts)
    assert (ours.offsets == theirs.offsets).all()
    assert (ours.values == theirs.values).all()


@compiled
def test_common_scripts_are_done_without_hf() -> None:
    texts = [
        "It's 5 o’clock – “naïve” café…",
        "Привет, Ёлка!",
        "Ελλάδα",
        "我喜欢。",
        "コーヒー",
        "한국어",
        "שלום",
        "İstanbul",
        "❤️👍🏽🇷🇺👩‍⚕️",
    ]
    tokenizer = learn(texts)
    assert tokenizer._words is not None
    assert tokenizer._words.encode(texts, 1000, 0)[1] == []


def test_no_code_point_called_inert_ever_joins_the_one_before() -> None:
    seconds = {
        pair[1]
        for code in range(0x110000)
        if (pair := unicodedata.decomposition(chr(code)).split()) and len(pair) == 2 and pair[0][0] != "<"
    }
    jamo = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
    joining = {chr(int(second, 16)) for second in seconds} | set(map(chr, jamo))
    reordered = {chr(code) for code in range(0x110000) if unicodedata.combining(chr(code))}
    assert not [hex(ord(c)) for c in joining | reordered if word_ids.is_inert(c)]


@compiled
@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 24, 25, 200])
@pytest.mark.parametrize("letter", ["a", "é", "й", "中'", "😀\u200d", "ab'", "i̇"])
def test_words_of_any_length_are_told_apart(letter: str, length: int) -> None:
    word = (letter * length)[:length]
    texts = [word, word + "b", "b" + word, word[:-1] + "b", word[:-1], f"x {word} x", word + " ", word.upper()]
    known = learn([word, word + "b"])
    assert by_us(known, texts) == by_hf(known, texts)


@compiled
def test_a_vocabulary_may_hold_words_that_no_text_has() -> None:
    spec = json.loads(learn(["film", "abcdefgh"]).to_json())
    for word in ("a\0", "\0", "", "two words", "abcdefgh\0", "film\0"):
        spec["model"]["vocab"][word] = len(spec["model"]["vocab"])
    tokenizer = Tokenizer.from_json(json.dumps(spec))
    texts = ["a", "film", "abcdefgh", "two words", "a\0", ""]
    assert by_us(tokenizer, texts) == by_hf(tokenizer, texts)


@compiled
def test_many_threads_may_share_a_tokenizer() -> None:
    texts = [chr(code) + " слово 词 word" for code in range(0x80, 0x3000, 97)] * 10
    tokenizer = learn(texts)
    expected = by_hf(tokenizer, texts)
    fresh = Tokenizer.from_json(tokenizer.to_json())
    with ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(lambda _: by_us(fresh, texts), range(16)))


@compiled
def test_texts_are_given_back() -> None:
    texts = ["some text", "ещё текст", "и\u0306"]
    before = [sys.getrefcount(text) for text in texts]
    learn(["text"]).encode(texts)
    assert [sys.getrefcount(text) for text in texts] == before


@pytest.mark.parametrize("bad", [[None], ["a", 1], [b"a"]])
def test_what_is_no_text_is_a_type_error(bad: list[Any]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        learn(["a"]).encode(bad)


_TEMPLATE = {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}


def _use_unknown(spec: dict[str, Any]) -> None:
    spec["model"]["unk_token"] = "<pad>"


@compiled
@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda spec: spec.update(pre_tokenizer={"type": "Whitespace"}), "its pre-tokenizer is not the one"),
        (lambda spec: spec.update(normalizer={"type": "StripAccents"}), "its normalizer is not one"),
        (lambda spec: spec["normalizer"]["normalizers"].reverse(), "its normalizer is not one"),
        (lambda spec: spec.update(post_processor=_TEMPLATE), "it has post_processor"),
        (_use_unknown, "its unknown token is '<pad>'"),
    ],
)
def test_a_file_edited_by_hand_goes_through_hf_and_says_why(
    edit: Edit, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = json.loads(learn(["a film"]).to_json())
    edit(spec)
    with caplog.at_level(logging.WARNING):
        tokenizer = Tokenizer.from_json(json.dumps(spec))
    assert tokenizer.why_not_compiled is not None
    assert tokenizer.why_not_compiled.startswith(reason)
    assert reason in caplog.text
    assert by_us(tokenizer, ["A film, b"]) == by_hf(tokenizer, ["A film, b"])


def test_subword_kinds_go_through_hf_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert learn(["a film"], tokenizer="bpe").why_not_compiled == "its model is BPE, not WordLevel"
    assert not caplog.records


def test_without_the_extension_the_ids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A film's end", "фильм", "", "e\u0301"]
    usual = learn(texts)
    monkeypatch.setattr(word_ids, "_word_ids", None)
    plain = learn(texts)
    assert plain.why_not_compiled is not None
    assert "not compiled" in plain.why_not_compiled
    assert by_us(plain, texts) == by_us(usual, texts)
    assert plain.to_json() == usual.to_json()
