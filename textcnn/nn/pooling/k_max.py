"""The k largest activations of every channel, in the order in which they stand in the text."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field

from textcnn.nn.parts import Pooling
from textcnn.registry import POOLINGS

Tensor = torch.Tensor


@POOLINGS.register("k_max")
class KMax(Pooling):
    """k-max pooling (Kalchbrenner et al. 2014, section 3.2): (B, T, in_dim), mask -> (B, k * in_dim).

    Of a text with fewer than k positions the rest are zeros.
    """

    def __init__(self, in_dim: int, *, k: Annotated[int, Field(ge=1, le=64)] = 3) -> None:
        super().__init__()
        self.k = self.positions_needed = k
        self.out_dim = k * in_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x, mask, best = self._best(x, mask)
        # padding stands behind the text, so the order of places keeps it behind
        return (x * mask[..., None]).gather(1, best).flatten(1)

    def positions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Where each pooled number stands in x, int64[B, out_dim]; -1 for the zeros of a text too short."""
        _, mask, best = self._best(x, mask)
        inside = mask[..., None].expand(-1, -1, best.shape[2]).gather(1, best)
        return torch.where(inside, best, -1).flatten(1)

    def _best(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x and mask with at least k positions, and the places of the k largest, in order: int64[B, k, in_dim]."""
        spare = max(0, self.k - x.shape[1])
        x, mask = F.pad(x, (0, 0, 0, spare)), F.pad(mask, (0, spare))
        return x, mask, x.masked_fill(~mask[..., None], -torch.inf).topk(self.k, dim=1).indices.sort(dim=1).values
