"""A linear model on the character n-grams of words: what is known of a word that no training text had.

An n-gram is 2 or more neighbouring characters of a word between two marks, as fastText has them (Bojanowski et al.
2017); its key is a polynomial hash of them. The vector of a word has for every n-gram that the model knows how often it
is there times its scale, and the same length for all words, so a word is a row such as n-grams of words have
(ngram_linear.py).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from textcnn.kernels.native import native
from textcnn.kernels.ngram_index import ngram_index
from textcnn.types import Floats, Ids, Offsets, TokenBatch

SHORTEST = 2  # characters, marks among them
START, END = 2, 3  # code points of the marks; control characters are in no word
PRIME = np.uint64(0x9E3779B97F4A7C15)
Keys = npt.NDArray[np.int64]


class CharacterNgrams:
    """`keys` int64[G] ascending; `scale` float32[G]; `weight` float32[G, C], times the scale.

    `length` is that of a word's vector; the n-grams have up to `longest` characters, 8 at most.
    """

    def __init__(self, keys: Keys, scale: Floats, weight: Floats, *, length: float, longest: int) -> None:
        self.keys, self.scale, self.weight, self.length, self.longest = keys, scale, weight, length, longest
        self.compiled = ngram_index(keys, scale, weight, longest=longest, length=length)

    def __reduce__(self) -> tuple[object, ...]:
        """Without what is compiled; see NgramLinear."""
        return _remade, (self.keys, self.scale, self.weight, self.length, self.longest)

    def rows(self, letters: TokenBatch) -> Floats:
        """The scale and, behind it, the weight of every class of each word of these code points: float32[U, 1 + C].

        Zeros where no n-gram of the word is known.
        """
        module = native()
        if module is None:
            return self._rows_ref(letters)
        out = np.empty((len(letters), 1 + self.weight.shape[1]), np.float32)
        module.spell_words(self.compiled, letters.values, letters.offsets, out, 0, len(letters))
        return out

    def _rows_ref(self, letters: TokenBatch) -> Floats:
        """The same in plain numpy, one word after the other."""
        out = np.zeros((len(letters), 1 + self.weight.shape[1]), np.float32)
        word, keys = character_ngrams(letters, self.longest)
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        known = self.keys[at] == keys if len(self.keys) else np.zeros(len(keys), bool)
        for number in np.unique(word[known]).tolist():
            found = at[known & (word == number)]
            square = float((self.scale[found].astype(np.float64) ** 2).sum())
            out[number, 0] = self.length
            out[number, 1:] = self.weight[found].astype(np.float64).sum(axis=0) * (self.length / math.sqrt(square))
        return out


def _remade(keys: Keys, scale: Floats, weight: Floats, length: float, longest: int) -> CharacterNgrams:
    return CharacterNgrams(keys, scale, weight, length=length, longest=longest)


def character_ngrams(letters: TokenBatch, longest: int) -> tuple[Offsets, Keys]:
    """Of every n-gram of words of these code points its word and its key, int64[K]; by size, then in order."""
    codes, offsets = _marked(letters)
    word = np.repeat(np.arange(len(letters)), np.diff(offsets))
    left = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(codes))
    keys = np.zeros(len(codes), np.uint64)
    words, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    with np.errstate(over="ignore"):
        for size in range(1, longest + 1):
            last = np.minimum(np.arange(len(codes)) + size - 1, max(len(codes) - 1, 0))
            keys = keys * PRIME + codes[last].astype(np.uint64) + np.uint64(1)
            if size >= SHORTEST:
                whole = left >= size
                words.append(word[whole])
                found.append((keys[whole] & np.uint64(2**63 - 1)).astype(np.int64))
    return np.concatenate(words), np.concatenate(found)


def _marked(letters: TokenBatch) -> tuple[Ids, Offsets]:
    """The code points with a mark before and behind each word; a word without any stays so."""
    lengths = letters.lengths
    written = lengths > 0
    offsets = np.zeros(len(letters) + 1, np.int64)
    np.cumsum(lengths + 2 * written, out=offsets[1:])
    codes = np.empty(offsets[-1], np.int32)
    inside = np.ones(offsets[-1], bool)
    starts, ends = offsets[:-1][written], offsets[1:][written] - 1
    inside[starts] = inside[ends] = False
    codes[starts], codes[ends] = START, END
    codes[inside] = letters.values
    return codes, offsets
