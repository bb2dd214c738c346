from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.config import TextConfig
from textcnn.errors import ArtifactError, ConfigError
from textcnn.registry import TOKENIZERS
from textcnn.text.tokenizers import Tokenizer

KINDS = ["word", "bpe", "unigram", "character"]
TEXTS = [
    "The film isn't bad; the actors are good, and the film is short.",
    "A bad film , it 's too long and you 'll do n't like it .",
    "Фильм хороший, но очень длинный. Ёлка, ёжик и подъезд!",
    "这部电影很好看，演员也不错。我喜欢这部电影！",
    "Der Kaffee war heiß: 3 Tassen für 4,50 €.",
    "I ❤️ it 👍🏽 #best_film @home 100%",
]
HOSTILE = [
    "",
    " \t\n\r\u3000",
    "\0",
    "a\0b",
    "\ud800",
    "film \udcff\ud83d good",
    "\u200b\ufeff\u2060",
    "مرحبا بالعالم \u202eabc\u202c שלום",
    "e\u0301" * 1000 + "\u0301" * 1000,
    "👩‍⚕️🏳️‍🌈🇷🇺🇺🇸🇺",
    "<pad> <unk>",
    "ﷺ ㍿ ﬁlm İstanbul STRASSE",
    "\U0010ffff\U000e0041 \ue000",
    "▁film ▁▁",
]


def learn(kind: str = "word", texts: list[str] = TEXTS, **settings: Any) -> Tokenizer:
    return Tokenizer.learn(texts, TextConfig(tokenizer=kind, **settings))


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[number] for number in tokenizer.encode([text]).values]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind, learned from TEXTS; do not change it."""
    return learn(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_every_registered_kind_is_tested() -> None:
    assert sorted(KINDS) == TOKENIZERS.names()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't STOP, it’s Rock'n'Roll!", "don't stop , it’s rock'n'roll !"),
        ("it 's i 'm we 've they 're she 'd i 'll do n't", "it 's i 'm we 've they 're she 'd i 'll do n't"),
        ("'sound' the dogs' 'shell", "' sound ' the dogs ' ' shell"),
        ("snake_case foo-bar 5.99$ ½", "snake_case foo - bar 5 . 99 $ ½"),
        ("Привет, мир! Ёлка по-русски.", "привет , мир ! ёлка по - русски ."),
        ("Cafe\u0301 é e\u0301", "café é é"),
        ("我喜欢NLP，真的。", "我 喜 欢 nlp ， 真 的 。"),
        ("コーヒーです 東京タワー", "コ ー ヒ ー で す 東 京 タ ワ ー"),
        ("한국어 단어", "한국어 단어"),
        ("สวัสดี ที่", "ส วั ส ดี ที่"),
        ("ကျွန်တော် ລາວ", "\u1000\u103b\u103d \u1014\u103a \u1010\u1031\u102c\u103a ລ າ ວ"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("می\u200cخواهم سَلام", "می\u200cخواهم سَلام"),
        ("❤️❤️ 👍🏽👍 👩‍⚕️ 🇷🇺🇺🇸 1️⃣ #️⃣", "❤️ ❤️ 👍🏽 👍 👩‍⚕️ 🇷🇺 🇺🇸 1️⃣ #️⃣"),
        ("a\u200bb\u00adc\0d\ufeff", "a b c d"),
        ("Ⅷ ΟΔΟΣ İ ẞ", "ⅷ οδοσ i̇ ß"),
        ("<pad><unk>", "< pad > < unk >"),
        ("\ud800x\udc00", "\ufffd x \ufffd"),
    ],
)
def test_words_are_what_a_reader_would_call_words(text: str, tokens: str) -> None:
    expected = tokens.split(" ")
    tokenizer = learn(texts=[text])
    assert words(tokenizer, text) == expected


def test_case_and_compatibility_forms_are_kept_or_folded_as_asked() -> None:
    assert words(learn(texts=["Ａｂ ﬁ"], lowercase=False), "Ａｂ ﬁ") == ["Ａｂ", "ﬁ"]
    assert words(learn(texts=["Ａｂ ﬁ"], normalization="nfkc"), "Ａｂ ﬁ") == ["ab", "fi"]
    assert words(learn(texts=["it 'S"], lowercase=False), "it 'S") == ["it", "'S"]
    assert words(learn(texts=["e\u0301"], normalization="none"), "e\u0301") == ["e\u0301"]


def test_ids_start_with_pad_and_unk_then_fall_in_frequency(kind: str) -> None:
    tokenizer = learn(kind)
    counts = np.bincount(tokenizer.encode(TEXTS).values, minlength=len(tokenizer))
    assert tokenizer.tokens[:2] == ["<pad>", "<unk>"]
    assert counts[0] == counts[1] == 0
    assert (np.diff(counts[2:]) <= 0).all()
    assert len(tokenizer) == len(tokenizer.tokens) == len(set(tokenizer.tokens))
    assert [tokenizer.id_of(token) for token in tokenizer.tokens] == list(range(len(tokenizer)))
    assert tokenizer.id_of("never seen") == 1


def test_equally_frequent_words_stand_in_alphabetical_order() -> None:
    assert learn(texts=["b a c b d"]).tokens[2:] == ["b", "a", "c", "d"]


def test_the_same_texts_give_the_same_file(kind: str) -> None:
    assert learn(kind).to_json() == learn(kind).to_json()


@pytest.mark.parametrize(
    "texts", [[], [""], ["a"], ["ab ab cd"], ["\ud800"], ["a" * 100_000], list("abcdefg"), ["😀"] * 3]
)
def test_very_little_text_is_enough_to_learn(kind: str, texts: list[str]) -> None:
    for size in (1, 4, 100_000):
        tokenizer = learn(kind, texts, max_vocabulary=size)
        assert len(tokenizer) <= size + 2
        assert len(tokenizer.encode([*texts, "abc 😀"])) == len(texts) + 1


def test_rare_tokens_become_unknown(kind: str) -> None:
    texts = ["good film", "good film", "bad ж"]
    tokenizer = learn(kind, texts, min_count=2)
    assert "ж" not in "".join(tokenizer.tokens)
    assert tokenizer.encode(["ж"]).values.tolist()[-1] == 1
    assert 1 not in tokenizer.encode(["good film"]).values


def test_the_most_frequent_words_are_kept() -> None:
    assert learn(texts=["a a a b b c"], max_vocabulary=2).tokens == ["<pad>", "<unk>", "a", "b"]


def test_extra_words_come_last_normalized_and_only_if_a_text_can_have_them() -> None:
    extra = ["Film", "New_York", "good", "two words", "##x", "don't", "new_york", "", "<unk>"]
    tokenizer = Tokenizer.learn(["good film good"], TextConfig(), extra_words=extra)
    assert tokenizer.tokens == ["<pad>", "<unk>", "good", "film", "new_york", "don't"]


def test_extra_words_are_refused_by_the_subword_kinds() -> None:
    with pytest.raises(ConfigError, match="extra_words_from_vectors.*set it to 0"):
        Tokenizer.learn(TEXTS, TextConfig(tokenizer="bpe"), extra_words=["film"])


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'word'.*bpe, character, unigram, word"):
        learn("words")


def test_subword_pieces_mark_the_start_of_a_word_and_leave_punctuation_alone() -> None:
    for kind in ("bpe", "unigram"):
        tokenizer = learn(kind, ["the film, the film, the film!"] * 20)
        assert "".join(words(tokenizer, "the film, film!")).replace("▁", " ").strip() == "the film, film!"
        assert not any("," in token and len(token) > 2 for token in tokenizer.tokens)


def test_a_text_alone_has_the_ids_it_has_in_a_batch(tokenizer: Tokenizer) -> None:
    texts = TEXTS + HOSTILE
    batch = tokenizer.encode(texts)
    assert (batch.values.dtype, batch.offsets.dtype) == (np.int32, np.int64)
    assert batch.values.flags.writeable
    for text, ids in zip(texts, batch, strict=True):
        assert tokenizer.encode([text]).values.tolist() == ids.tolist()
        assert tokenizer.encode_with_spans(text)[0].tolist() == ids.tolist()


def test_no_texts_give_an_empty_batch(tokenizer: Tokenizer) -> None:
    batch = tokenizer.encode([])
    assert (len(batch), batch.values.tolist(), batch.offsets.tolist()) == (0, [], [0])


@pytest.mark.parametrize("text", TEXTS)
def test_spans_lead_back_to_the_characters(tokenizer: Tokenizer, text: str) -> None:
    ids, spans = tokenizer.encode_with_spans(text)
    assert (ids.dtype, spans.dtype, spans.shape) == (np.int32, np.int64, (len(ids), 2))
    for number, (start, end) in zip(ids.tolist(), spans.tolist(), strict=True):
        token = tokenizer.tokens[number].removeprefix("▁")
        assert text[start:end].lower() == token or token == ""


def test_spans_count_code_points_of_the_original_text() -> None:
    text = "e\u0301e\u0301 😀 ＡＢ\ud800 \u1e9bz"
    tokenizer = learn(texts=[text], normalization="nfkc")
    ids, spans = tokenizer.encode_with_spans(text)
    assert [text[start:end] for start, end in spans] == ["e\u0301e\u0301", "😀", "ＡＢ", "\ud800", "\u1e9bz"]
    assert [tokenizer.tokens[number] for number in ids] == ["éé", "😀", "ab", "\ufffd", "ṡz"]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_spans_are_in_order_and_belong_to_the_ids(text: str) -> None:
    for tokenizer in _ALL:
        ids, spans = tokenizer.encode_with_spans(text)
        assert ids.tolist() == tokenizer.encode([text]).values.tolist()
        assert spans.shape == (len(ids), 2)
        assert ((spans >= 0) & (spans <= len(text))).all()
        assert (np.diff(spans, axis=0) >= 0).all()


@pytest.mark.parametrize("truncation", ["head", "tail", "both"])
def test_reading_gives_ids_and_spans_of_all_texts_and_what_was_cut_off(kind: str, truncation: Any) -> None:
    whole = learn(kind)
    cut = Tokenizer.from_json(whole.to_json(), TextConfig(max_length=5, truncation=truncation))
    texts = [*TEXTS, "", *HOSTILE, "a b"]
    reading = cut.read(texts)
    batch = cut.encode(texts)
    assert (reading.batch.values.tolist(), reading.batch.offsets.tolist()) == (
        batch.values.tolist(), batch.offsets.tolist(),
    )  # fmt: skip
    assert (reading.spans.dtype, reading.unread.dtype) == (np.int64, np.int64)
    for number, text in enumerate(texts):
        spans = reading.spans[batch.offsets[number] : batch.offsets[number + 1]].tolist()
        assert spans == cut.encode_with_spans(text)[1].tolist()
        all_spans = whole.encode_with_spans(text)[1].tolist()
        gone = {"head": all_spans[5:], "tail": all_spans[:-5], "both": all_spans[3:-2]}[truncation]
        expected = [gone[0][0], gone[-1][1]] if len(all_spans) > 5 else [0, 0]
        assert reading.unread[number].tolist() == expected


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from([*TEXTS, *HOSTILE]), max_size=4
    )
)
def test_spans_of_words_are_the_same_by_compiled_code_and_by_hf(texts: list[str]) -> None:
    for truncation in ("head", "tail", "both"):
        for normalization in ("nfc", "nfkc", "none"):
            tokenizer = _cut_short(truncation, normalization)
            reading = tokenizer.read(texts)
            expected = [tokenizer.encode_with_spans(text) for text in texts]
            assert reading.batch.lengths.tolist() == [len(ids) for ids, _ in expected]
            assert reading.batch.values.tolist() == [number for ids, _ in expected for number in ids]
            assert reading.spans.tolist() == [pair for _, spans in expected for pair in spans.tolist()]
            by_hf = tokenizer._read_by_hf(texts)
            assert reading.unread.tolist() == by_hf.unread.tolist()


@cache
def _cut_short(truncation: Any, normalization: str) -> Tokenizer:
    tokenizer = learn(max_length=4, truncation=truncation, normalization=normalization)
    assert tokenizer.why_not_compiled is None
    return tokenizer


_ALL = [learn(kind) for kind in KINDS]


@pytest.mark.parametrize("truncation", ["head", "tail", "both"])
def test_long_texts_are_cut_where_asked(kind: str, truncation: Any) -> None:
    whole = learn(kind)
    cut = Tokenizer.from_json(whole.to_json(), TextConfig(max_length=5, truncation=truncation))
    for text in [*TEXTS, "a b", ""]:
        ids, spans = whole.encode_with_spans(text)
        kept = np.arange(len(ids))
        if len(ids) > 5:
            kept = {"head": kept[:5], "tail": kept[-5:], "both": kept[[0, 1, 2, -2, -1]]}[truncation]
        assert cut.encode([text]).values.tolist() == ids[kept].tolist()
        cut_ids, cut_spans = cut.encode_with_spans(text)
        assert (cut_ids.tolist(), cut_spans.tolist()) == (ids[kept].tolist(), spans[kept].tolist())


@pytest.mark.parametrize("truncation", ["head", "tail", "both"])
def test_save_and_load_give_the_same_ids(kind: str, truncation: Any, tmp_path: Path) -> None:
    tokenizer = learn(kind, max_length=7, truncation=truncation)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.max_length, loaded.truncation) == (7, truncation)
    assert loaded.to_json() == tokenizer.to_json()
    for again in (loaded, copy.deepcopy(tokenizer)):
        assert again.tokens == tokenizer.tokens
        assert again.encode(TEXTS + HOSTILE).values.tolist() == tokenizer.encode(TEXTS + HOSTILE).values.tolist()


def test_the_configuration_wins_over_the_file() -> None:
    content = learn(max_length=7, truncation="tail").to_json()
    assert Tokenizer.from_json(content, TextConfig(max_length=3)).encode(TEXTS).lengths.tolist() == [3] * len(TEXTS)


@pytest.mark.parametrize("truncation", ["head", "tail"])
def test_hf_reads_the_file_and_gives_the_same_ids(kind: str, truncation: Any, tmp_path: Path) -> None:
    tokenizer = learn(kind, max_length=7, truncation=truncation)
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = hf.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = [text for text in TEXTS + HOSTILE if text.isprintable()]
    assert [encoding.ids for encoding in theirs.encode_batch(texts)] == [x.tolist() for x in tokenizer.encode(texts)]


def test_hf_refuses_what_it_cannot_cut_at_both_ends() -> None:
    theirs = hf.Tokenizer.from_str(learn(max_length=7, truncation="both").to_json())
    assert theirs.encode("film bad").ids
    with pytest.raises(Exception, match="Truncation error"):
        theirs.encode(TEXTS[0])


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json", '{"version": "1.0", "model": {"type": "WordLevel"}}'])
def test_a_damaged_file_is_an_artifact_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match="not a tokenizer.json"):
        Tokenizer.load(path)


def test_a_missing_file_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read.*tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("vocab", [{}, {"a": 0}, {"<unk>": 0, "<pad>": 1}, {"<pad>": 0, "<unk>": 1, "a": 3}])
def test_ids_that_do_not_fit_a_network_are_refused(vocab: dict[str, int]) -> None:
    spec = json.loads(learn().to_json())
    spec["model"]["vocab"] = vocab
    with pytest.raises(ArtifactError, match="ids must run from 0"):
        Tokenizer.from_json(json.dumps(spec))


def test_padding_in_the_file_never_reaches_the_ids() -> None:
    inner = hf.Tokenizer.from_str(learn().to_json())
    inner.enable_padding(length=50)
    assert Tokenizer.from_json(inner.to_str()).encode(["film", ""]).lengths.tolist() == [1, 0]


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "e\u0301" + "\u0301" * 100_000, "'" * 50_000, "a'" * 50_000, "👍\u200d" * 30_000]
)
def test_huge_texts_take_linear_time(tokenizer: Tokenizer, text: str) -> None:
    ids, spans = tokenizer.encode_with_spans(text)
    assert len(ids) == len(spans) == min(tokenizer.max_length, len(ids))
    assert tokenizer.encode([text]).values.tolist() == ids.tolist()


def test_import_stays_light() -> None:
    code = "import sys, textcnn.text.tokenizers; print(*{'torch', 'pyarrow', 'gensim', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_characters_come_with_their_marks_and_spaces_are_one() -> None:
    tokenizer = learn("character", normalization="none", lowercase=False)
    assert words(tokenizer, "  но \n\t好!") == ["н", "о", " ", "好", "!"]
    marked = Tokenizer.learn(["e\u0301a \u200b"], TextConfig(tokenizer="character", normalization="none"))
    assert set(marked.tokens[2:]) == {" ", "a", "e\u0301"}


def test_characters_are_learned_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    learn("character")
    assert not caplog.records
