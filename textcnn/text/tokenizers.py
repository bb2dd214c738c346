"""Tokenizers: texts to ragged ids, learned from the training texts, kept as one HF `tokenizer.json`.

Id 0 is `<pad>`, id 1 `<unk>`, then the tokens by falling frequency, equals in alphabetical order: the rows that a text
looks up lie together in memory, and the same texts always give the same file. `<pad>` and `<unk>` are no special tokens
of HF's: a text that spells them out gets the ids of its characters.
"""

from __future__ import annotations

import json
import logging
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers as hf
from tokenizers import models, normalizers, pre_tokenizers, trainers

from textcnn.choices import Spelled
from textcnn.config import TextConfig
from textcnn.errors import ArtifactError, ConfigError
from textcnn.registry import TOKENIZERS
from textcnn.text import word_ids
from textcnn.text.segments import break_sentences, join_parts, parts_of, split_sentences
from textcnn.text.spelling import Speller, letters_of
from textcnn.text.word_ids import PAD, UNKNOWN, Spans, readable
from textcnn.types import UNKNOWN_ID, Ids, Offsets, Spelling, TokenBatch, split_texts

log = logging.getLogger(__name__)
# Subword pieces are looked for within stretches of this many characters: time stays linear in the text.
_STRETCH = 64
_PUNCTUATION = r"[[\p{P}\p{S}]&&[^▁]]"
_SUBWORD_PATTERN = rf"▁?{_PUNCTUATION}|▁?[^\p{{P}}\p{{S}}▁]{{1,{_STRETCH}}}|▁"
_LONGEST_PIECE = 16
_CHARACTER = r" |[^\s\p{Cc}\p{Cf}]\p{M}*+"
# Categories of the characters between tokens that belong to none.
_SEPARATING = {"Cc", "Cf", "Zs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Texts as tokens, and the characters behind them.

    Token i of the batch was read from the code points spans[i, 0]..spans[i, 1] - 1 of its text (int64[N, 2]). `unread`
    int64[B, 2] are those from the first to the last token that truncation cut off; equal numbers where it did not.
    """

    batch: TokenBatch
    spans: Spans
    unread: Spans


class Tokenizer:
    """An HF tokenizer with ragged results, truncation, and a compiled path for words.

    `config` gives max_length and truncation; without it they are as the file says, else the defaults. The file carries
    them for HF too. HF has no `both`: it then refuses the texts that are too long instead of cutting them differently.
    `config.segments` puts breaks between what is to be encoded by itself: each text of a record, of which max_length
    tokens are used, or each sentence of a text, of which all together are.
    `tokens` holds every token by id; `why_not_compiled` is None, or why texts go through HF instead of compiled code.

    `spelled` says of which words batches tell how they are written: none, those outside the vocabulary (unknown), or
    all, whose characters `speller` then knows.
    """

    def __init__(self, inner: hf.Tokenizer, config: TextConfig | None = None, *, spelled: Spelled = "none") -> None:
        spec = json.loads(inner.to_str())
        self._config = config = config or TextConfig(**_truncation(spec["truncation"]))
        inner.no_truncation()  # cut below, on the ids alone
        inner.no_padding()
        self._inner = inner
        self.tokens: list[str] = _tokens(spec)
        self.spelled = spelled
        self.speller = Speller(self.tokens) if spelled == "all" else None
        self.max_length, self.truncation = config.max_length, config.truncation
        self.segments, self.language = config.segments, config.language
        # how many tokens are kept of a longer text, at its start and at its end
        half = self.max_length // 2
        kept = {"head": (self.max_length, 0), "tail": (0, self.max_length), "both": (self.max_length - half, half)}
        self._first, self._last = kept[self.truncation]
        self.why_not_compiled = word_ids.why_not(spec)
        self._words = None if self.why_not_compiled else word_ids.WordIds(spec, self.tokens)
        if self.why_not_compiled and spec["model"]["type"] == "WordLevel" and config.tokenizer == "word":
            log.warning("texts go through HF tokenizers, some twenty times slower: %s", self.why_not_compiled)

    @classmethod
    def learn(
        cls, texts: Sequence[str], config: TextConfig, *, extra_words: Sequence[str] = (), spelled: Spelled = "none"
    ) -> Tokenizer:
        """The tokenizer that `config` names, from the training texts.

        `extra_words` (from a file of word vectors, say) that the texts did not teach come after the learned ones; only
        the word tokenizer takes them. Raises ConfigError.
        """
        learn = TOKENIZERS.get(config.tokenizer)
        if extra_words and config.tokenizer != "word":
            raise ConfigError(
                f"text.extra_words_from_vectors adds whole words, which a {config.tokenizer} tokenizer does not have:"
                " set it to 0, or text.tokenizer to 'word'"
            )
        parts = [readable(part) for text in texts for part in parts_of(text, config)]
        inner: hf.Tokenizer = learn(parts, config, extra_words) if extra_words else learn(parts, config)
        return cls(inner, config, spelled=spelled)

    @classmethod
    def load(cls, path: str | Path, config: TextConfig | None = None) -> Tokenizer:
        """Read a tokenizer.json. Raises ArtifactError."""
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f"cannot read the tokenizer {path}: {error}") from None
        return cls.from_json(text, config)

    @classmethod
    def from_json(cls, text: str, config: TextConfig | None = None, *, spelled: Spelled = "none") -> Tokenizer:
        """The same from the file's content. Raises ArtifactError."""
        try:
            inner = hf.Tokenizer.from_str(text)
        except Exception as error:  # HF raises no narrower one
            raise ArtifactError(f"this is not a tokenizer.json that HF tokenizers can read: {error}") from None
        return cls(inner, config, spelled=spelled)

    def to_json(self) -> str:
        """The content of tokenizer.json."""
        inner = hf.Tokenizer.from_str(self._inner.to_str())
        strategy = "only_second" if self.truncation == "both" else "longest_first"
        inner.enable_truncation(
            self.max_length, strategy=strategy, direction="left" if self.truncation == "tail" else "right"
        )
        return inner.to_str(pretty=True)

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json."""
        Path(path).write_text(self.to_json(), "utf-8")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Tokenizer.from_json, spelled=self.spelled), (self.to_json(), self._config)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def alphabet(self) -> int:
        """Characters that words are spelled with; 0 where they are not."""
        return len(self.speller.characters) if self.speller else 0

    def id_of(self, token: str) -> int:
        """The id of a token as it stands in `tokens`, else that of `<unk>`."""
        number = self._inner.token_to_id(token)
        return UNKNOWN_ID if number is None else number

    def encode(self, texts: Sequence[str]) -> TokenBatch:
        """The ids of several texts. A lone surrogate counts as U+FFFD; a text with nothing to see has no tokens."""
        if self.segments != "none":
            return self.read(texts).batch
        return self._with_characters(self._encode(texts))

    def _encode(self, texts: Sequence[str]) -> TokenBatch:
        if self._words is None:
            return self._encode_by_hf(texts)
        batch, undone = self._words.encode(texts, self._first, self._last, spelled=self.spelled != "none")
        return _filled(batch, undone, self._encode_by_hf([texts[i] for i in undone])) if undone else batch

    def encode_with_spans(self, text: str) -> tuple[Ids, Spans]:
        """The ids of one text, as `encode` gives them, and for each the code points text[from:to] it was read from."""
        ids, spans = self._spans(text)
        return np.array(self._cut(ids), np.int32), np.array(self._cut(spans), np.int64).reshape(-1, 2)

    def read(self, texts: Sequence[str]) -> Reading:
        """The ids of several texts, as `encode` gives them, and where in the texts they stand."""
        reading = self._read_segments(texts)
        return replace(reading, batch=self._with_characters(reading.batch))

    def _read_segments(self, texts: Sequence[str]) -> Reading:
        if self.segments == "none":
            return self._read(texts)
        if self.segments == "columns":
            records = [split_texts(text) for text in texts]
            found = self._read([part for parts in records for part in parts])
            return Reading(*join_parts(found.batch, found.spans, found.unread, records))
        found = self._read(texts)
        bounds = [split_sentences(text, self.language) for text in texts]
        return Reading(*break_sentences(found.batch, found.spans, bounds), found.unread)

    def _read(self, texts: Sequence[str]) -> Reading:
        if self._words is None:
            return self._read_by_hf(texts)
        spelled = self.spelled != "none"
        batch, undone, spans, unread = self._words.read(texts, self._first, self._last, spelled=spelled)
        if not undone:
            return Reading(batch, spans, unread)
        others = self._read_by_hf([texts[i] for i in undone])
        begins = others.batch.offsets
        inserted = [others.spans[begin:end] for begin, end in zip(begins, begins[1:], strict=False)]
        unread[undone] = others.unread
        return Reading(_filled(batch, undone, others.batch), _spliced(spans, batch.offsets[undone], inserted), unread)

    def _with_characters(self, batch: TokenBatch) -> TokenBatch:
        """The batch with the characters of its words, if the network asks for those."""
        if self.speller is None:
            return batch
        letters = batch.spelling.letters if batch.spelling else letters_of([])
        return replace(batch, spelling=self.speller.spelling(letters))

    def _spelled_by_hf(self, batch: TokenBatch, texts: Sequence[str], spans: Spans) -> TokenBatch:
        """The batch with an id of its own for each unknown word, and how that is written, if somebody asks for it."""
        places = np.flatnonzero(batch.unknown)
        if self.spelled == "none" or not len(places):
            return batch
        normalize = self._inner.normalizer.normalize_str if self._inner.normalizer else str
        rows = np.searchsorted(batch.offsets, places, side="right") - 1
        words = [
            normalize(readable(texts[row][start:end]))
            for row, (start, end) in zip(rows.tolist(), spans[places].tolist(), strict=True)
        ]
        values = batch.values.copy()
        values[places] = len(self) + np.arange(len(places))
        return TokenBatch(values, batch.offsets, Spelling(len(self), letters_of(words)))

    def _read_by_hf(self, texts: Sequence[str]) -> Reading:
        ids, spans = [], [np.empty((0, 2), np.int64)]
        unread = np.zeros((len(texts), 2), np.int64)
        for number, text in enumerate(texts):
            all_ids, all_spans = self._spans(text)
            if len(all_spans) > self.max_length:
                unread[number] = all_spans[self._first][0], all_spans[len(all_spans) - self._last - 1][1]
            ids.append(self._cut(all_ids))
            spans.append(np.array(self._cut(all_spans), np.int64).reshape(-1, 2))
        where = np.concatenate(spans)
        return Reading(self._spelled_by_hf(TokenBatch.from_lists(ids), texts, where), where, unread)

    def _spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and spans of the whole text."""
        encoding = self._inner.encode(readable(text), add_special_tokens=False)
        spans = list(encoding.offsets)
        # Of characters that normalization joins (e + U+0301) HF's span has the first only.
        for i, (start, end) in enumerate(spans):
            limit = spans[i + 1][0] if i + 1 < len(spans) else len(text)
            while end < limit and unicodedata.category(text[end]) not in _SEPARATING:
                end += 1
            spans[i] = (start, end)
        return encoding.ids, spans

    def _encode_by_hf(self, texts: Sequence[str]) -> TokenBatch:
        if self.spelled != "none":
            return self._read_by_hf(texts).batch
        encodings = self._inner.encode_batch_fast([readable(text) for text in texts], add_special_tokens=False)
        return TokenBatch.from_lists([self._cut(encoding.ids) for encoding in encodings])

    def _cut(self, tokens: list[Any]) -> list[Any]:
        if len(tokens) <= self.max_length:
            return tokens
        return tokens[: self._first] + tokens[len(tokens) - self._last :]


def _filled(batch: TokenBatch, gaps: Sequence[int], texts: TokenBatch) -> TokenBatch:
    """The batch with `texts` in place of its empty texts numbered `gaps`."""
    lengths, spelling, theirs = batch.lengths, batch.spelling, texts.spelling
    lengths[gaps] = texts.lengths
    if spelling and theirs:  # whose unknown words come behind
        outside = texts.values >= spelling.vocabulary
        texts = texts.with_values(texts.values + outside * np.int32(len(spelling.letters)))
        spelling = replace(spelling, letters=TokenBatch.concatenate([spelling.letters, theirs.letters]))
    values = _spliced(batch.values, batch.offsets[gaps], list(texts))
    return TokenBatch(values, np.concatenate([batch.offsets[:1], np.cumsum(lengths)]), spelling or theirs)


def _spliced(array: Any, places: Offsets, pieces: Sequence[Any]) -> Any:
    """The array with a piece put in at each of the places."""
    between = np.split(array, places)
    return np.concatenate([between[0], *chain.from_iterable(zip(pieces, between[1:], strict=True))])


@TOKENIZERS.register("word")
def learn_words(texts: Sequence[str], config: TextConfig, extra_words: Sequence[str] = ()) -> hf.Tokenizer:
    """Whole words; see word_ids.py for what a word is."""
    inner = hf.Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    inner.normalizer = _normalizer(config)
    inner.pre_tokenizer = word_ids.word_pre_tokenizer()
    return _learn_whole(inner, texts, config, extra_words)


@TOKENIZERS.register("character")
def learn_characters(texts: Sequence[str], config: TextConfig) -> hf.Tokenizer:
    """Single characters, each with the marks that belong to it; white space within the text is one of them."""
    inner = hf.Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    one_space = [normalizers.Replace(hf.Regex(r"\s+"), " "), normalizers.Strip()]
    steps = [normalizer] if (normalizer := _normalizer(config)) else []
    inner.normalizer = normalizers.Sequence([*steps, *one_space])
    inner.pre_tokenizer = pre_tokenizers.Split(hf.Regex(_CHARACTER), "removed", invert=True)
    return _learn_whole(inner, texts, config)


def _learn_whole(
    inner: hf.Tokenizer, texts: Sequence[str], config: TextConfig, extra_words: Sequence[str] = ()
) -> hf.Tokenizer:
    """The tokenizer with the most frequent of its pieces as vocabulary."""
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.max_vocabulary, min_frequency=config.min_count, show_progress=False, special_tokens=[]
    )
    inner.train_from_iterator(texts, trainer)
    learned = sorted(inner.get_vocab().items(), key=lambda item: item[1])  # most frequent first, then alphabetical
    words = dict.fromkeys([PAD, UNKNOWN, *(word for word, _ in learned), *_single_words(inner, extra_words)])
    inner.model = models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=UNKNOWN)
    return inner


def _single_words(inner: hf.Tokenizer, words: Iterable[str]) -> Iterable[str]:
    """Of these the ones that a text can contain: normalized, and one word by the grammar."""
    for word in words:
        normal = inner.normalizer.normalize_str(word) if inner.normalizer else word
        if [piece for piece, _ in inner.pre_tokenizer.pre_tokenize_str(normal)] == [normal]:
            yield normal


@TOKENIZERS.register("bpe")
def learn_bpe(texts: Sequence[str], config: TextConfig) -> hf.Tokenizer:
    """Pieces of words by byte-pair merges, of characters instead of bytes; other characters are `<unk>`."""
    inner = _subword(models.BPE(unk_token=UNKNOWN, fuse_unk=True), config)
    characters = _characters(inner, texts)
    trainer = trainers.BpeTrainer(
        vocab_size=_vocabulary_size(characters, config) + 1,
        min_frequency=config.min_count,
        max_token_length=_LONGEST_PIECE,
        show_progress=False,
        special_tokens=[UNKNOWN],
    )
    inner.train_from_iterator(texts, trainer)
    counts = _count_tokens(inner, texts)
    spec = json.loads(inner.to_str())
    # Only single characters can be too rare or too many: a merge needs both its parts, and room for it was there.
    kept = [t for t in spec["model"]["vocab"] if t != UNKNOWN and (len(t) > 1 or characters[t] >= config.min_count)]
    by_frequency = sorted(kept, key=lambda token: (-counts[token], token))[: config.max_vocabulary]
    spec["model"]["vocab"] = {token: number for number, token in enumerate([PAD, UNKNOWN, *by_frequency])}
    return hf.Tokenizer.from_str(json.dumps({**spec, "added_tokens": []}))


@TOKENIZERS.register("unigram")
def learn_unigram(texts: Sequence[str], config: TextConfig) -> hf.Tokenizer:
    """Pieces of words by a unigram language model (SentencePiece's); characters that are no piece are `<unk>`."""
    inner = _subword(models.Unigram(), config)
    characters = _characters(inner, texts)
    trainer = trainers.UnigramTrainer(
        # without room for every character it never ends, or raises; what is too much is dropped below
        vocab_size=max(_vocabulary_size(characters, config), len(characters)) + 1,
        max_piece_length=_LONGEST_PIECE,
        show_progress=False,
        unk_token=UNKNOWN,
    )
    inner.train_from_iterator(texts, trainer)
    counts = _count_tokens(inner, texts)
    known = [piece for piece, _ in json.loads(inner.to_str())["model"]["vocab"] if piece != UNKNOWN]
    kept = [piece for piece in known if max(counts[piece], characters[piece]) >= config.min_count]
    by_frequency = sorted(kept, key=lambda piece: (-counts[piece], piece))[: config.max_vocabulary]
    # Scores anew, from whole counts: the trainer's sums depend in their last digits on the order of its threads.
    total = counts.total() or 1
    scores = [(piece, round(math.log(max(counts[piece], 0.5) / total), 6)) for piece in by_frequency]
    inner.model = models.Unigram([(PAD, 0.0), (UNKNOWN, 0.0), *scores], unk_id=UNKNOWN_ID)
    return inner


def _subword(model: models.Model, config: TextConfig) -> hf.Tokenizer:
    """▁ marks the start of a word; punctuation stands by itself."""
    inner = hf.Tokenizer(model)
    inner.normalizer = _normalizer(config)
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False),
            pre_tokenizers.Split(hf.Regex(_SUBWORD_PATTERN), "removed", invert=True),
        ]
    )
    return inner


def _normalizer(config: TextConfig) -> normalizers.Normalizer | None:
    forms: dict[str, list[normalizers.Normalizer]] = {
        "none": [],
        "nfc": [normalizers.NFC()],
        "nfkc": [normalizers.NFKC()],
    }
    steps = forms[config.normalization] + ([normalizers.Lowercase()] if config.lowercase else [])
    return normalizers.Sequence(steps) if steps else None


def _characters(inner: hf.Tokenizer, texts: Iterable[str]) -> Counter[str]:
    """How often each character is seen after normalization; ▁ as often as there are characters."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(inner.normalizer.normalize_str(text) if inner.normalizer else text)
    counts["▁"] = max(counts.total(), 1)
    return counts


def _vocabulary_size(characters: Counter[str], config: TextConfig) -> int:
    """Few texts do not teach many pieces: 8 times the root of their characters is 9,000 for 10,000 sentences."""
    return min(config.max_vocabulary, len(characters) + 8 * math.isqrt(characters["▁"]))


def _count_tokens(inner: hf.Tokenizer, texts: Sequence[str]) -> Counter[str]:
    """How often each token is used in the texts."""
    vocabulary = inner.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    counts = np.zeros(len(tokens), np.int64)
    for start in range(0, len(texts), 1000):
        encodings = inner.encode_batch_fast(texts[start : start + 1000], add_special_tokens=False)
        counts += np.bincount([number for e in encodings for number in e.ids], minlength=len(tokens)).astype(np.int64)
    return Counter(dict(zip(tokens, counts.tolist(), strict=True)))


def _tokens(spec: Mapping[str, Any]) -> list[str]:
    """Every token by id. Raises ArtifactError where the ids are not what a network can be built on."""
    vocab = spec["model"]["vocab"]  # token -> id; Unigram: a list of (token, score)
    numbered = vocab.items() if isinstance(vocab, dict) else ((token, i) for i, (token, _) in enumerate(vocab))
    by_id = {number: token for token, number in numbered}
    by_id |= {added["id"]: added["content"] for added in spec["added_tokens"]}
    tokens = [by_id.get(number, "") for number in range(len(by_id))]
    if tokens[:2] != [PAD, UNKNOWN] or max(by_id) >= len(by_id):
        raise ArtifactError(
            f"the tokenizer's ids must run from 0 without a gap and begin with {PAD} and {UNKNOWN};"
            f" found {len(tokens):,} tokens that begin with {tokens[:2]}"
        )
    return tokens


def _truncation(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """HF's truncation as fields of TextConfig; see Tokenizer.to_json."""
    if found is None:
        return {}
    cut = "both" if found["strategy"] == "OnlySecond" else {"Left": "tail", "Right": "head"}[found["direction"]]
    return {"max_length": found["max_length"], "truncation": cut}
