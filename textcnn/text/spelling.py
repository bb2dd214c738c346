"""How words are written: each word as the ids of its characters, for networks that read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textcnn.text.word_ids import PAD, UNKNOWN
from textcnn.types import Characters, Spelling, TokenBatch

START, END = "<word>", "</word>"
LONGEST = 64  # characters of a longer word that are read


def letters_of(words: Sequence[str]) -> TokenBatch:
    """The first LONGEST code points of each word, ragged."""
    read = [word[:LONGEST] for word in words]
    offsets = np.zeros(len(read) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, read), np.int64, count=len(read)), out=offsets[1:])
    return TokenBatch(np.frombuffer("".join(read).encode("utf-32-le", "surrogatepass"), np.int32), offsets)


class Speller:
    """The characters that a vocabulary is written with, and words as their ids.

    Id 0 is padding and 1 every character that no word of the vocabulary has; 2 and 3 stand before and behind each word,
    so that a filter can see a prefix or an ending. Then the characters in the order of Unicode: `characters` follows
    from the vocabulary alone, so that no file has to keep it.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        """`tokens` are the words by id, <pad> and <unk> first; these two are written with nothing."""
        words = ["", "", *tokens[2:]]
        found = sorted(set().union(*words))
        self.characters: list[str] = [PAD, UNKNOWN, START, END, *found]
        self._codes = np.array([ord(character) for character in found], np.int32)
        self.known = self(letters_of(words))

    def spelling(self, letters: TokenBatch) -> Spelling:
        """Of the vocabulary, and of words outside it of these code points."""
        return Spelling(len(self.known), letters, Characters(self.known, self(letters)))

    def __call__(self, letters: TokenBatch) -> TokenBatch:
        """Ragged character ids of words of these code points."""
        lengths = letters.lengths
        lengths[lengths > 0] += 2
        offsets = np.zeros(len(letters) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        written = lengths > 0
        inside = np.ones(offsets[-1], bool)
        starts, ends = offsets[:-1][written], offsets[1:][written] - 1
        inside[starts] = inside[ends] = False
        values = np.empty(offsets[-1], np.int32)
        values[starts], values[ends] = self.characters.index(START), self.characters.index(END)
        codes = letters.values
        places = np.searchsorted(self._codes, codes)
        known = np.append(self._codes, np.int32(-1))[places] == codes
        values[inside] = np.where(known, places + 4, 1)
        return TokenBatch(values, offsets)
