"""The word grammar, and the compiled way through it.

`word_pre_tokenizer` is the grammar as it stands in tokenizer.json, for HF. `_word_ids.c` walks the same grammar without
an object per token. Of Unicode it knows only what `Alphabet` finds out here by asking HF itself, one page of 256 code
points at a time and only when a text needs the page. A code point that its neighbours may change (combining marks under
NFC, Hangul jamo) or that this Python's Unicode does not know makes its whole text HF's business: the ids are the same.
"""

from __future__ import annotations

import json
import re
import struct
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from textcnn.types import Spelling, TextViews, TokenBatch

# As _word_ids.c states it: CRC-32 of the names and the parameters there, and of _texts.h.
INTERFACE = "7ce43b77"
_word_ids: Any
try:
    from textcnn.text import _word_ids

    if getattr(_word_ids, "INTERFACE", None) != INTERFACE:  # compiled of older sources
        _word_ids = None
except ImportError:  # there was no C compiler when textcnn was installed
    _word_ids = None

Form = Literal["NFC", "NFKC"]
Spans = npt.NDArray[np.int64]
_NORMALIZATIONS = [[], ["Lowercase"], ["NFC"], ["NFC", "Lowercase"], ["NFKC"], ["NFKC", "Lowercase"]]

PAD, UNKNOWN = "<pad>", "<unk>"
OFFSET = 8  # bytes

# Scripts written without spaces, and the prolonged sound mark of kana: every letter is a token.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ーｰ"
_LETTER = rf"[\p{{L}}&&[{_SPACELESS}]]"
_WORD = rf"[\p{{M}}\p{{N}}_[\p{{L}}&&[^{_SPACELESS}]]]"
# Within a word: apostrophes, and the joiners that Persian and Indic words need.
_INNER = r"['’\u200c\u200d]"
# Whatever can be seen. Format and control characters separate words like spaces.
_SYMBOL = r"[^\s\p{Cc}\p{Cf}\p{L}\p{M}\p{N}_]"
_TRAILER = r"[\p{M}🏻-🏿]"
_FLAG = r"[🇦-🇿]{2}"
# Of pre-tokenised English, "n't" is a word by the rule above; these begin with their apostrophe.
_CLITIC = rf"['’](?:[sSmMdD]|[lL]{{2}}|[rR][eE]|[vV][eE])(?!{_WORD})"
# `++` and `*+` give nothing back: the time is linear in the text, whatever the text.
WORD_PATTERN = "|".join(
    [
        _CLITIC,
        rf"{_WORD}++(?:{_INNER}{_WORD}++)*+",
        rf"{_LETTER}\p{{M}}*+",
        rf"(?:{_FLAG}|{_SYMBOL}){_TRAILER}*+(?:\u200d{_SYMBOL}{_TRAILER}*+)*+",
    ]
)

# Parts of the grammar, numbered as in _word_ids.c, each known by how many tokens HF makes of these six strings.
_PROBES = ("{0}", "{0}{0}", "a{0}a", "!{0}", "{0}🏽", "!{0}!")
_COMPLEX = 0
_PARTS: dict[tuple[int, ...], int] = {
    (0, 0, 2, 1, 1, 2): 1,  # space
    (1, 1, 1, 2, 2, 3): 2,  # word
    (1, 1, 1, 1, 2, 2): 3,  # mark
    (1, 2, 3, 2, 2, 3): 4,  # letter
    (1, 2, 3, 2, 1, 3): 5,  # other
    (1, 2, 1, 2, 1, 3): 6,  # apostrophe
    (0, 0, 1, 1, 1, 2): 7,  # zero width non-joiner
    (0, 0, 1, 1, 1, 1): 8,  # zero width joiner
    (1, 1, 3, 1, 1, 2): 9,  # skin tone
    (1, 1, 3, 2, 1, 3): 10,  # regional indicator, half a flag
}
# Pages of Han and of Hangul syllables: what holds for one of their code points holds for all.
_ALIKE = {*range(0x4E, 0x9F), *range(0xAC, 0xD7)}
_LETTER_T = struct.Struct("=IBBH")  # letter_t of _word_ids.c
_SURROGATES = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot say, as U+FFFD, one for one so that positions stay."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def word_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """The word grammar for HF."""
    return pre_tokenizers.Split(tokenizers.Regex(WORD_PATTERN), "removed", invert=True)


def why_not(spec: Mapping[str, Any]) -> str | None:
    """Why the compiled way cannot serve a tokenizer.json (parsed), or None."""
    if spec["model"]["type"] != "WordLevel":
        return f"its model is {spec['model']['type']}, not WordLevel"
    if _word_ids is None:
        return "textcnn.text._word_ids is not compiled, or not of these sources; reinstall where there is a C compiler"
    if spec["model"]["unk_token"] != UNKNOWN:
        return f"its unknown token is {spec['model']['unk_token']!r}, not {UNKNOWN!r}"
    if spec["pre_tokenizer"] != json.loads(word_pre_tokenizer().__getstate__()):
        return "its pre-tokenizer is not the one that textcnn writes"
    if _normalization(spec) not in _NORMALIZATIONS:
        return "its normalizer is not one that textcnn writes"
    changed = [key for key in ("added_tokens", "post_processor", "padding") if spec.get(key)]
    return f"it has {' and '.join(changed)}, which textcnn does not write" if changed else None


def _normalization(spec: Mapping[str, Any]) -> list[str]:
    normalizer = spec["normalizer"] or {"type": "Sequence", "normalizers": []}
    return [step["type"] for step in normalizer.get("normalizers", [normalizer])]


class WordIds:
    """Texts to ids by compiled code. Ask `why_not` first. `tokens` are the words by id."""

    def __init__(self, spec: Mapping[str, Any], tokens: Sequence[str]) -> None:
        self._native = _word_ids.WordIds(list(tokens), alphabet(tuple(_normalization(spec))).page)
        self._vocabulary = len(tokens)

    def encode(
        self, texts: Sequence[str], first: int, last: int, *, spelled: bool = False
    ) -> tuple[TokenBatch, list[int]]:
        """The ids, and the numbers of the texts left undone (empty in the batch) for HF to do.

        Of a text with more than first + last tokens the first `first` and the last `last` are kept. If `spelled`, words
        outside the vocabulary have ids of their own, and the batch says how they are written.
        """
        values, offsets, undone, *letters = self._native.encode(_views(texts), first, last, False, spelled)
        return self._batch(values, offsets, letters), undone

    def read(
        self, texts: Sequence[str], first: int, last: int, *, spelled: bool = False
    ) -> tuple[TokenBatch, list[int], Spans, Spans]:
        """The same, the code points from and to of every token, int64[N, 2], and of what was cut off, int64[B, 2]."""
        values, offsets, undone, spans, unread, *letters = self._native.encode(
            _views(texts), first, last, True, spelled
        )
        return (
            self._batch(values, offsets, letters),
            undone,
            np.frombuffer(spans, np.int64).reshape(-1, 2),
            np.frombuffer(unread, np.int64).reshape(-1, 2),
        )

    def _batch(self, values: bytearray, offsets: bytearray, letters: list[bytearray]) -> TokenBatch:
        spelling = None
        if letters and len(letters[1]) > OFFSET:  # a word is unknown
            codes, bounds = letters
            words = TokenBatch(np.frombuffer(codes, np.int32), np.frombuffer(bounds, np.int64))
            spelling = Spelling(self._vocabulary, words)
        return TokenBatch(np.frombuffer(values, np.int32), np.frombuffer(offsets, np.int64), spelling)


def _views(texts: Sequence[str]) -> Any:
    return texts.views if isinstance(texts, TextViews) else texts


class Alphabet:
    """What HF's normalizer makes of each code point, and which part of the grammar that is.

    `steps` are the names of the normalizers, one of _NORMALIZATIONS. Get it from `alphabet`.
    """

    def __init__(self, steps: tuple[str, ...]) -> None:
        self._normalizer = normalizers.Sequence([getattr(normalizers, step)() for step in steps]) if steps else None
        self._pre_tokenizer = word_pre_tokenizer()
        self._form: Form | None = "NFC" if "NFC" in steps else "NFKC" if "NFKC" in steps else None
        self._pages: dict[int, bytes] = {}

    def page(self, number: int) -> bytes:
        """256 `letter_t` for the code points from number * 256 on."""
        if number not in self._pages:
            self._pages[number] = self._look_up(number)
        return self._pages[number]

    def _look_up(self, number: int) -> bytes:
        characters = [readable(chr(code)) for code in range(number * 256, number * 256 + 256)]
        if number in _ALIKE:
            written, parts = characters, self._parts(characters[:1]) * 256
        else:
            normalizer = self._normalizer
            written = list(map(normalizer.normalize_str, characters)) if normalizer else characters
            parts = self._parts(written)
        return b"".join(map(self._letter, characters, written, parts))

    def _parts(self, written: Sequence[str]) -> list[int]:
        """The part of the grammar of each normalized code point."""
        lines = [probe.format(text) + "\n" for text in written for probe in _PROBES]
        starts = list(accumulate(map(len, lines), initial=0))
        counts = [0] * len(lines)
        for _, (start, _) in self._pre_tokenizer.pre_tokenize_str("".join(lines)):
            counts[bisect_right(starts, start) - 1] += 1
        width = len(_PROBES)
        return [_PARTS.get(tuple(counts[at : at + width]), _COMPLEX) for at in range(0, len(counts), width)]

    def _letter(self, character: str, written: str, part: int) -> bytes:
        utf8 = written.encode()
        if len(utf8) > 4 or not self._stands_alone(character):
            part = _COMPLEX
        if part == _COMPLEX:
            return bytes(_LETTER_T.size)
        return _LETTER_T.pack(int.from_bytes(utf8, "little"), len(utf8), part, 0)

    def _stands_alone(self, character: str) -> bool:
        """Whether the normalizer treats it alike next to whatever neighbours."""
        if self._form is None:
            return True
        return is_inert(character) and all(map(is_inert, unicodedata.normalize(self._form, character)))


@cache
def alphabet(steps: tuple[str, ...]) -> Alphabet:
    """One for all tokenizers with the same normalizers: what one has learned of a page, the others know."""
    return Alphabet(steps)


def is_inert(character: str) -> bool:
    """Whether normalization never reorders it, nor joins it to the character before.

    Says no too often rather than too seldom: to most marks, to jamo, and to letters beyond the basic plane but for Han.
    """
    category = unicodedata.category(character)
    if category == "Cn":  # not known here; HF may know it
        return False
    if category in ("Mn", "Mc"):
        return "\ufe00" <= character <= "\ufe0f"
    if category[0] == "L":
        jamo = (
            "\u1100" <= character <= "\u11ff" or "\ua960" <= character <= "\ua97f" or "\ud7b0" <= character <= "\ud7ff"
        )
        return not jamo and (character <= "\uffff" or "\U00020000" <= character)
    return unicodedata.combining(character) == 0
