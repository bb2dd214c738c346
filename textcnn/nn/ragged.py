"""A ragged batch on a device, with its distinct tokens, so that each is looked up and projected once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from textcnn.kernels.native import native
from textcnn.types import BREAK_ID, Ids, TokenBatch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class RaggedIds:
    """values int32[N], offsets int64[B + 1], unique int64[U], local int32[N] with unique[local] == values."""

    values: Tensor
    offsets: Tensor
    unique: Tensor
    local: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: torch.device) -> RaggedIds:
        return RaggedIds(
            *(part.to(device, non_blocking=True) for part in (self.values, self.offsets, self.unique, self.local))
        )

    def padded(self) -> tuple[Tensor, Tensor]:
        """Ids int64[B, T] with 0 behind the end of each text, and the mask bool[B, T] of what is inside.

        T is at least 1, also where every text is empty: a convolution needs something to look at.
        """
        lengths = self.offsets.diff()
        longest = max(1, int(lengths.max())) if len(lengths) else 1
        mask = torch.arange(longest, device=lengths.device)[None] < lengths[:, None]
        ids = torch.zeros(mask.shape, dtype=torch.int64, device=lengths.device)
        ids[mask] = self.values.long()
        return ids, mask

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
        return RaggedIds(self.values[~is_break], starts, self.unique, self.local[~is_break]), bounds

    def take(self, chosen: Tensor) -> RaggedIds:
        """The texts numbered `chosen`, int64[M], in that order."""
        lengths = self.offsets.diff()[chosen]
        offsets = F.pad(lengths.cumsum(0), (1, 0))
        shift = torch.repeat_interleave(self.offsets[chosen] - offsets[:-1], lengths)
        places = torch.arange(len(shift), device=shift.device) + shift
        return RaggedIds(self.values[places], offsets, self.unique, self.local[places])


class Distinct:
    """Finds the distinct ids of a batch at the cost of the batch, not of the vocabulary. One for each thread."""

    def __init__(self, vocabulary: int) -> None:
        self._seen: Ids = np.full(vocabulary, -1, np.int32)

    def __call__(self, batch: TokenBatch) -> RaggedIds:
        values = np.ascontiguousarray(batch.values, np.int32)
        module = native()
        if module is None:
            unique, local = np.unique(values, return_inverse=True)
        else:
            unique, local = np.empty_like(values), np.empty_like(values)
            unique = unique[: module.distinct(values, self._seen, unique, local, len(values))]
        return RaggedIds(
            torch.from_numpy(values),
            torch.from_numpy(np.ascontiguousarray(batch.offsets)),
            torch.from_numpy(unique.astype(np.int64)),
            torch.from_numpy(local.astype(np.int32, copy=False)),
        )
