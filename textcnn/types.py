"""The data shapes that run through the house. All frozen; numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """A ragged batch: all token ids laid end to end, and where each text starts.

    `values` is int32[N]; `offsets` is int64[B + 1] with offsets[0] == 0 and offsets[B] == N. Text i is
    values[offsets[i]:offsets[i + 1]]. A text may be empty. Nothing is padded.
    """

    values: Ids
    offsets: Offsets

    @classmethod
    def from_lists(cls, texts: Sequence[Sequence[int]]) -> TokenBatch:
        """Lay several id lists end to end."""
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        values = np.fromiter((token for text in texts for token in text), np.int32, count=int(offsets[-1]))
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[Ids]:
        return (self.values[start:end] for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    @property
    def lengths(self) -> Offsets:
        """Tokens of each text, int64[B]."""
        return np.diff(self.offsets)

    def take(self, indices: npt.ArrayLike) -> TokenBatch:
        """The texts at `indices` (int[M]), in that order, copied together without a Python loop."""
        chosen = np.asarray(indices, np.int64)
        lengths = self.lengths[chosen]
        offsets = np.zeros(len(chosen) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # position of every new token in the old array: start of its text + its place within the text
        shift = np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return TokenBatch(self.values[np.arange(offsets[-1]) + shift], offsets)

    @classmethod
    def concatenate(cls, batches: Iterable[TokenBatch]) -> TokenBatch:
        """Several batches as one, in order."""
        parts = list(batches)
        lengths = [part.lengths for part in parts] or [np.zeros(0, np.int64)]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
        values = np.concatenate([part.values for part in parts] or [np.zeros(0, np.int32)])
        return cls(values, offsets)


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label and its probability, in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text: `top` holds the most probable labels, best first, and is never empty."""

    top: tuple[LabelScore, ...]

    @property
    def label(self) -> str:
        return self.top[0].label

    @property
    def probability(self) -> float:
        return self.top[0].probability
