"""A linear model on the n-grams of token ids: numpy in, numpy out, no torch.

An n-gram is a key: the ids of its tokens, ID_BITS each, the first one lowest. Unknown words, and what stands between
texts, are in none, but an unknown word that is spelled is one by itself (character_ngrams.py). The vector of a text has
for every n-gram that the model knows how often it is there times its scale, and length 1, so the logit of a class is a
sum over the n-grams as they stand in the text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.kernels.character_ngrams import CharacterNgrams
from textcnn.kernels.native import in_ranges, native
from textcnn.kernels.ngram_index import ngram_index
from textcnn.types import UNKNOWN_ID, Evidence, Floats, Ids, Offsets, Parts, TokenBatch

ID_BITS = 21
LONGEST = 3  # tokens whose ids fit in a key
Keys = npt.NDArray[np.int64]


class NgramLinear:
    """`keys` int64[M] ascending; `scale` float32[M]; `weight` float32[M, C], times the scale; `bias` float32[C].

    `characters`, if there are any, say what unknown words are.
    """

    def __init__(
        self, keys: Keys, scale: Floats, weight: Floats, bias: Floats, characters: CharacterNgrams | None = None
    ) -> None:
        self.keys, self.scale, self.weight, self.bias, self.characters = keys, scale, weight, bias, characters
        self.longest = next((n for n in range(LONGEST, 1, -1) if len(keys) and int(keys[-1]) >> ID_BITS * (n - 1)), 1)
        # the two as the kernels take them
        self.compiled = (
            ngram_index(keys, scale, weight, longest=self.longest, bias=bias), characters and characters.compiled
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what is compiled, which another process may have no kernels for, or may need where there was none."""
        return NgramLinear, (self.keys, self.scale, self.weight, self.bias, self.characters)

    def times(self, share: float) -> NgramLinear:
        """The same with all weights times `share`."""
        by, spelled = np.float32(share), self.characters
        if spelled:
            spelled = CharacterNgrams(
                spelled.keys, spelled.scale, spelled.weight * by, length=spelled.length, longest=spelled.longest
            )
        return NgramLinear(self.keys, self.scale, self.weight * by, self.bias * by, spelled)

    def add_logits(self, batch: TokenBatch, out: Floats, *, threads: int = 1) -> None:
        """out[i] += bias + what the n-grams of text i add; `out` float32[B, C]. Same bits alone and in any batch."""
        module = native()
        if module is None:
            out += self._logits_ref(batch)
            return
        given = *self.compiled, *texts_of(batch), out

        def work(begin: int, end: int) -> None:
            module.ngram_logits(*given, begin, end)

        in_ranges(work, len(batch), threads=threads, grain=64)

    def _logits_ref(self, batch: TokenBatch) -> Floats:
        """The same in plain numpy, one text after the other."""
        out = np.tile(self.bias, (len(batch), 1))
        text, _, _, weight, share = self._found(batch)
        for i in range(len(out)):
            out[i] += weight[text == i].astype(np.float64).sum(axis=0) * share[i]
        return out

    def add_evidence(
        self, there: Evidence, batch: TokenBatch, targets: Offsets, signs: Floats | None = None
    ) -> tuple[Evidence, Parts]:
        """`there`, and what each n-gram of text i adds to logit targets[i], or to the sum of signs[i] x logits.

        N-grams that are there already are added to; `slots` are put right. Returns all, and how much of each
        contribution is the linear model's, float64[M].
        """
        module = native()
        if module is None:
            return self._evidence_ref(there, batch, targets, signs)
        offsets = batch.offsets
        most = len(there.starts) + len(batch.values) * self.longest
        bounds = np.empty(len(offsets), np.int64)
        starts, ends = np.empty((2, most), np.int64)
        total, own = np.empty((2, most), np.float64)
        places = np.empty(len(there.starts) + 1, np.int32)
        places[-1] = -1  # of what went into no n-gram
        count = module.ngram_evidence(
            *self.compiled, *texts_of(batch),
            targets, signs, there.offsets, there.starts, there.ends, there.contributions,
            bounds, starts, ends, total, own, places, len(offsets) - 1,
        )  # fmt: skip
        slots = None if there.slots is None else places[there.slots]
        return Evidence(bounds, starts[:count], ends[:count], total[:count], slots), own[:count]

    def _evidence_ref(
        self, there: Evidence, batch: TokenBatch, targets: Offsets, signs: Floats | None
    ) -> tuple[Evidence, Parts]:
        """The same in plain numpy."""
        offsets = batch.offsets
        text, start, size, weight, share = self._found(batch)
        if signs is None:
            added = weight[np.arange(len(weight)), targets[text]] * share[text]
        else:
            added = (weight.astype(np.float64) * signs[text]).sum(axis=1) * share[text]
        owner = np.concatenate([np.repeat(np.arange(len(offsets) - 1), np.diff(there.offsets)), text])
        spans = np.stack([owner, np.r_[there.starts, start], np.r_[there.ends, start + size]], axis=1)
        unique, place = np.unique(spans, axis=0, return_inverse=True)
        place = place.reshape(-1)
        before = len(there.starts)
        own = np.bincount(place[before:], added, minlength=len(unique)).astype(np.float64, copy=False)
        total = own + np.bincount(place[:before], there.contributions, minlength=len(unique))
        slots = None
        if there.slots is not None:
            slots = np.append(place[:before], -1).astype(np.int32)[there.slots]
        bounds = np.searchsorted(unique[:, 0], np.arange(len(offsets)))
        return Evidence(bounds, unique[:, 1], unique[:, 2], total, slots), own

    def _found(self, batch: TokenBatch) -> tuple[Offsets, Offsets, Offsets, Floats, Parts]:
        """Of each known n-gram its text, first token, size and weights; and of each text one over its length."""
        keys, text, start, size = ngrams(batch.values, batch.offsets, self.longest)
        rows = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        known = self.keys[rows] == keys if len(self.keys) else np.zeros(len(keys), bool)
        text, start, size, rows = text[known], start[known], size[known], rows[known]
        scale, weight = self.scale[rows], self.weight[rows]
        if self.characters and batch.spelling:
            place = np.flatnonzero(batch.values >= batch.spelling.vocabulary)
            spelled = self.characters.rows(batch.spelling.letters)
            found = spelled[batch.values[place] - batch.spelling.vocabulary]
            place, found = place[found[:, 0] > 0], found[found[:, 0] > 0]
            owner = np.searchsorted(batch.offsets, place, side="right") - 1
            text, start = np.append(text, owner), np.append(start, place - batch.offsets[owner])
            size = np.append(size, np.ones(len(place), np.int64))
            scale, weight = np.append(scale, found[:, 0]), np.concatenate([weight, found[:, 1:]])
        square = np.bincount(text, scale.astype(np.float64) ** 2, minlength=len(batch))
        share = np.divide(1.0, np.sqrt(square), out=np.zeros(len(square)), where=square > 0)
        return text, start, size, weight, share


def texts_of(batch: TokenBatch) -> tuple[Any, ...]:
    """A batch as the kernels take it: ids, where texts begin, the first id of unknown words, how these are written."""
    if (spelling := batch.spelling) is None:
        return batch.values, batch.offsets, 0, None, None
    return batch.values, batch.offsets, spelling.vocabulary, spelling.letters.values, spelling.letters.offsets


def token_ids(keys: Keys) -> Offsets:
    """The ids of the tokens of each n-gram, 0 behind its last one: int64[K, LONGEST]."""
    ids: Offsets = keys[:, None] >> np.arange(0, LONGEST * ID_BITS, ID_BITS) & ((1 << ID_BITS) - 1)
    return ids


def are_keys(keys: Keys, vocabulary: int) -> bool:
    """Whether these are n-grams of known words of a vocabulary of that size, ascending."""
    ids = token_ids(keys)
    there = ids > 0
    ascending = (keys[:1] > 0).all() and (keys[1:] > keys[:-1]).all()
    whole = there[:, 0].all() and (there[:, 1:] <= there[:, :-1]).all()
    return bool(ascending and whole and (ids != UNKNOWN_ID).all() and (ids < vocabulary).all())


def ngrams(values: Ids, offsets: Offsets, longest: int) -> tuple[Keys, Offsets, Offsets, Offsets]:
    """The key of every n-gram of 1 to `longest` tokens, its text, its first token in that, and its size; all int64[K].

    In the order of texts, then of first tokens, then of sizes.
    """
    found = [ngrams_of(values, offsets, size) for size in range(1, longest + 1)]
    keys, text, start = (np.concatenate(parts) for parts in zip(*found, strict=True))
    size = np.repeat(np.arange(1, longest + 1), [len(keys) for keys, *_ in found])
    order = np.lexsort((size, start, text))
    return keys[order], text[order], start[order], size[order]


def ngrams_of(values: Ids, offsets: Offsets, size: int) -> tuple[Keys, Offsets, Offsets]:
    """The same of `size` tokens alone: keys, texts and first tokens."""
    usable = (values > UNKNOWN_ID) & (values < 1 << ID_BITS)
    lengths = np.diff(offsets)
    left = np.repeat(offsets[1:], lengths) - np.arange(len(values))
    fits = left >= size
    for place in range(size):
        fits[: len(values) - place] &= usable[place:]
    first = np.flatnonzero(fits)
    keys = np.zeros(len(first), np.int64)
    for place in range(size):
        keys |= values[first + place].astype(np.int64) << (ID_BITS * place)
    text = np.repeat(np.arange(len(lengths)), lengths)[first]
    return keys, text, first - offsets[text]
