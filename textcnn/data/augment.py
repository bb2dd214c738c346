"""Changes to the texts of a training batch, at random but the same for the same seed; never to any other texts.

Each is built once and called as (batch, generator) -> batch.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from textcnn.registry import AUGMENTATIONS
from textcnn.types import BREAK_ID, UNKNOWN_ID, Bools, Floats, Ids, TokenBatch

Rate = Annotated[float, Field(ge=0, lt=1)]
Random = np.random.Generator
WORDS_AT_ONCE = 256  # of a batch compared with the whole vocabulary: 100 MB with 100,000 words


class Augmentation:
    """Base. `vectors` float32[V, dim] are the word vectors before training; `rate` is the share of tokens changed."""

    def __init__(self, vectors: Floats | None = None, *, rate: Rate = 0.1) -> None:
        self.rate = rate

    def __call__(self, batch: TokenBatch, random: Random) -> TokenBatch:
        raise AssertionError("a subclass says how")

    def chosen(self, batch: TokenBatch, random: Random) -> Bools:
        """bool[N], each token by itself; never what stands between segments."""
        chosen: Bools = random.random(len(batch.values)) < self.rate
        chosen &= batch.values != BREAK_ID
        return chosen


@AUGMENTATIONS.register("word_dropout")
class WordDropout(Augmentation):
    """Tokens become the unknown one (Iyyer et al. 2015, section 4.2), which teaches what to make of it as well."""

    def __call__(self, batch: TokenBatch, random: Random) -> TokenBatch:
        return batch.with_values(np.where(self.chosen(batch, random), UNKNOWN_ID, batch.values).astype(np.int32))


@AUGMENTATIONS.register("deletion")
class Deletion(Augmentation):
    """Tokens are left out (Wei and Zou 2019); a text keeps at least one."""

    def __call__(self, batch: TokenBatch, random: Random) -> TokenBatch:
        kept = ~self.chosen(batch, random)
        starts, ends = batch.offsets[:-1], batch.offsets[1:]
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        emptied = (counts[ends] == counts[starts]) & (ends > starts)
        kept[(starts + random.integers(0, np.maximum(ends - starts, 1)))[emptied]] = True
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        return batch.with_values(batch.values[kept], counts[batch.offsets])


@AUGMENTATIONS.register("swap")
class Swap(Augmentation):
    """Tokens change places with any other of the same text (Wei and Zou 2019)."""

    def __call__(self, batch: TokenBatch, random: Random) -> TokenBatch:
        values = batch.values.copy()
        places = np.flatnonzero(self.chosen(batch, random))
        text = np.searchsorted(batch.offsets, places, side="right") - 1
        others = random.integers(batch.offsets[text], batch.offsets[text + 1])
        for place, other in zip(places.tolist(), others.tolist(), strict=True):
            if values[other] == BREAK_ID:
                continue
            values[place], values[other] = values[other], values[place]
        return batch.with_values(values)


@AUGMENTATIONS.register("synonym")
class Synonym(Augmentation):
    """Tokens become one of the `neighbours` whose word vectors are nearest (Wang and Yang 2015).

    Only words as alike as cosine `least` count; others stay. Needs word vectors from a file.
    """

    def __init__(
        self, vectors: Floats | None = None, *, rate: Rate = 0.1, neighbours: Annotated[int, Field(ge=1, le=50)] = 5,
        least: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(vectors, rate=rate)
        assert vectors is not None, "build.py refuses this without word vectors"
        self._unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self._least = least
        self._nearest: Ids = np.full((len(vectors), neighbours), -1, np.int32)  # -1 where not yet looked up

    def __call__(self, batch: TokenBatch, random: Random) -> TokenBatch:
        places = np.flatnonzero(self.chosen(batch, random) & (batch.values < len(self._unit)))
        words = batch.values[places]
        self._look_up(np.unique(words))
        values = batch.values.copy()
        values[places] = self._nearest[words, random.integers(0, self._nearest.shape[1], len(words))]
        return batch.with_values(values)

    def _look_up(self, words: Ids) -> None:
        missing = words[self._nearest[words, 0] < 0]
        for first in range(0, len(missing), WORDS_AT_ONCE):
            self._compare(missing[first : first + WORDS_AT_ONCE])

    def _compare(self, missing: Ids) -> None:
        alike = self._unit[missing] @ self._unit.T
        alike[:, :2] = -1.0  # padding and the unknown word are nobody's synonyms
        alike[np.arange(len(missing)), missing] = -1.0
        count = min(self._nearest.shape[1], alike.shape[1])
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        near_enough = np.take_along_axis(alike, nearest, axis=1) >= self._least
        self._nearest[missing] = missing[:, None]
        self._nearest[missing, :count] = np.where(near_enough, nearest, missing[:, None])
