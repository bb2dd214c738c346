"""A ragged batch on a device, with its distinct tokens, so that each is looked up and projected once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from textcnn.kernels.native import native
from textcnn.types import BREAK_ID, UNKNOWN_ID, Ids, Offsets, Spelling, TokenBatch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class RaggedIds:
    """values int32[N], offsets int64[B + 1], unique int64[U], local int32[N] with unique[local] == values.

    Where words are spelled, `spelled` are the characters of the U distinct words, and words outside the vocabulary,
    which have ids of their own among `values`, are the unknown word in `unique`.
    """

    values: Tensor
    offsets: Tensor
    unique: Tensor
    local: Tensor
    spelled: RaggedIds | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: torch.device) -> RaggedIds:
        parts = (self.values, self.offsets, self.unique, self.local)
        values, offsets, unique, local = (part.to(device, non_blocking=True) for part in parts)
        return RaggedIds(values, offsets, unique, local, None if self.spelled is None else self.spelled.to(device))

    def padded(self) -> tuple[Tensor, Tensor]:
        """Places in `unique` int64[B, T], U behind the end of each text, and the mask bool[B, T] of what is inside.

        T is at least 1, also where every text is empty: a convolution needs something to look at.
        """
        lengths = self.offsets.diff()
        longest = max(1, int(lengths.max())) if len(lengths) else 1
        mask = torch.arange(longest, device=lengths.device)[None] < lengths[:, None]
        places = torch.full(mask.shape, len(self.unique), dtype=torch.int64, device=lengths.device)
        places[mask] = self.local.long()
        return places, mask

    def segments(self) -> tuple[RaggedIds, Tensor]:
        """What lies between the breaks of each text, as texts of their own; and where each text's begin, int64[B + 1].

        A text with k breaks has k + 1 segments, some perhaps empty.
        """
        is_break = self.values == BREAK_ID
        before = F.pad(is_break.cumsum(0), (1, 0))  # breaks before each place
        places = is_break.nonzero()[:, 0]
        numbers = torch.arange(max(len(places), len(self.offsets)), device=places.device)
        # a segment begins where a text does, and behind each break
        starts = torch.cat([self.offsets - before[self.offsets], places - numbers[: len(places)]]).sort().values
        bounds = numbers[: len(self.offsets)] + before[self.offsets]
        words = self.values[~is_break], starts, self.unique, self.local[~is_break]
        return RaggedIds(*words, self.spelled), bounds

    def take(self, chosen: Tensor) -> RaggedIds:
        """The texts numbered `chosen`, int64[M], in that order."""
        lengths = self.offsets.diff()[chosen]
        offsets = F.pad(lengths.cumsum(0), (1, 0))
        shift = torch.repeat_interleave(self.offsets[chosen] - offsets[:-1], lengths)
        places = torch.arange(len(shift), device=shift.device) + shift
        return RaggedIds(self.values[places], offsets, self.unique, self.local[places], self.spelled)


class Distinct:
    """Finds the distinct ids of a batch at the cost of the batch, not of the vocabulary. One for each thread."""

    def __init__(self, vocabulary: int) -> None:
        self._seen: Ids = np.full(vocabulary, -1, np.int32)

    def __call__(self, batch: TokenBatch) -> RaggedIds:
        values = np.ascontiguousarray(batch.values, np.int32)
        spelling = batch.spelling
        if spelling and len(self._seen) < (needed := spelling.vocabulary + len(spelling.letters)):
            self._seen = np.full(needed, -1, np.int32)
        module = native()
        if module is None:
            unique, local = np.unique(values, return_inverse=True)
        else:
            unique, local = np.empty_like(values), np.empty_like(values)
            unique = unique[: module.distinct(values, self._seen, unique, local, len(values))]
        return RaggedIds(
            torch.from_numpy(values),
            torch.from_numpy(np.ascontiguousarray(batch.offsets)),
            torch.from_numpy(known_ids(unique.astype(np.int64), spelling)),
            torch.from_numpy(local.astype(np.int32, copy=False)),
            characters_of(spelling.characters.take(unique)) if spelling and spelling.characters else None,
        )


def known_ids(ids: Offsets, spelling: Spelling | None) -> Offsets:
    """The ids with that of the unknown word in place of those outside the vocabulary."""
    return ids if spelling is None else np.where(ids < spelling.vocabulary, ids, UNKNOWN_ID)


def characters_of(words: TokenBatch) -> RaggedIds:
    """Ragged character ids for a network: of so few each counts as met."""
    values = torch.from_numpy(words.values)
    unique = torch.arange(int(words.values.max(initial=-1)) + 1)
    return RaggedIds(values, torch.from_numpy(words.offsets), unique, values)
