"""The texts of a file as every check wants them: keys, token ids and a matrix of words and word pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from textcnn.config import TextConfig
from textcnn.data.readers import Examples
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Offsets, TokenBatch

# columns for pairs of neighbouring words: a prime, and odd numbers that scatter the pairs over them
PAIRS = 8_388_593
_MIX, _MIX_TOO, _FURTHER = 1_000_003, 7_368_787, 5_915_587
# Two words are a pair of a text where they are not further apart than this.
APART = 10
# all that is no letter or digit, but for arrows, symbols and emoji, which often are what a label hangs on
_NOTHING_TO_READ = re.compile(r"(?:(?![\u2190-\u2bff\U0001f000-\U0001faff])[\W_])+")


def cleaned(text: str) -> str:
    """What is left when case, punctuation and white space do not count; the text itself where that is nothing."""
    return _NOTHING_TO_READ.sub(" ", text.casefold()).strip() or text.strip()


@dataclass(frozen=True, eq=False)
class Table:
    """The usable rows of a file. `rows` are their numbers in it, int64[N].

    With a `separator`, a text has any number of labels with that between them.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    rows: Offsets
    separator: str = ""

    @classmethod
    def of(cls, examples: Examples, separator: str = "") -> Table:
        return cls(examples.texts, examples.labels, examples.row_numbers, separator)

    @cached_property
    def label_rows(self) -> list[list[str]]:
        """The labels of each text."""
        if not self.separator:
            return [[label] for label in self.labels]
        return [[part.strip() for part in label.split(self.separator) if part.strip()] for label in self.labels]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def keys(self) -> list[str]:
        """Equal for texts that differ in case, punctuation and white space only."""
        return [cleaned(text) for text in self.texts]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Every word of the texts, frequent ones first."""
        return Tokenizer.learn(self.texts, TextConfig(max_vocabulary=1_000_000, max_length=1_000_000))

    @cached_property
    def ids(self) -> TokenBatch:
        return self.tokenizer.encode(self.texts)

    @cached_property
    def words_and_pairs(self) -> csr_matrix:
        """How often each word, and each pair of neighbours, stands in each text, float32[N, words + PAIRS].

        The start of a text counts as a word.
        """
        return _counts(self.ids, len(self.tokenizer))

    @cached_property
    def wider_words(self) -> csr_matrix:
        """The same and each three words in a row, and each two with one between them, float32[N, words + PAIRS]."""
        return _counts(self.ids, len(self.tokenizer), wider=True)

    @cached_property
    def distant_pairs(self) -> csr_matrix:
        """How often each word, and each two words in their order, at most APART apart, stand in each text.

        float32[N, words + PAIRS]. The first two words count once more, as such.
        """
        ids, vocabulary = self.ids, len(self.tokenizer)
        values, row = ids.values.astype(np.int64), np.repeat(np.arange(len(ids)), ids.lengths)
        place = np.arange(len(values)) - np.repeat(ids.offsets[:-1], ids.lengths)
        rows, columns = [row], [values]
        for distance in range(1, APART + 1):
            second = np.flatnonzero(place >= distance)
            rows.append(row[second])
            columns.append(vocabulary + (values[second - distance] * _MIX + values[second] * _MIX_TOO) % PAIRS)
        for first in (0, 1):
            here = np.flatnonzero(place == first)
            rows.append(row[here])
            columns.append(vocabulary + (values[here] * _FURTHER + (first + 1) * _MIX) % PAIRS)
        return _matrix(np.concatenate(rows), np.concatenate(columns), len(ids), vocabulary + PAIRS)


def _counts(ids: TokenBatch, vocabulary: int, *, wider: bool = False) -> csr_matrix:
    row = np.repeat(np.arange(len(ids)), ids.lengths)
    values = ids.values.astype(np.int64)
    # in front of the first word of a text stands 0, the id of padding, which no text has
    firsts = ids.offsets[:-1][ids.lengths > 0]
    before = _shifted(values, firsts)
    # some pairs share a column by chance; sorting millions to tell them apart would take seconds
    columns = [values, vocabulary + (before * _MIX + values * _MIX_TOO) % PAIRS]
    if wider:
        earlier = _shifted(before, firsts)
        columns.append(vocabulary + (earlier * _FURTHER + before * _MIX + values * _MIX_TOO) % PAIRS)
        columns.append(vocabulary + (earlier * _FURTHER + values * _MIX_TOO) % PAIRS)
    return _matrix(np.tile(row, len(columns)), np.concatenate(columns), len(ids), vocabulary + PAIRS)


def _matrix(rows: Offsets, columns: Offsets, texts: int, width: int) -> csr_matrix:
    """How often each column is named for each row."""
    matrix = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(texts, width))
    matrix.sum_duplicates()
    return matrix


def _shifted(values: Offsets, firsts: Offsets) -> Offsets:
    """Each token's left neighbour in its text, or 0."""
    before = np.concatenate([np.zeros(1, np.int64), values[:-1]])[: len(values)]
    before[firsts] = 0
    return before
