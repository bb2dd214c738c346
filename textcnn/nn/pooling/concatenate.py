"""Several poolings of the same sequence, side by side."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from textcnn.registry import POOLINGS, PoolingSpec

Tensor = torch.Tensor


@POOLINGS.register("concatenate")
class Concatenate(nn.Module):
    """The vectors of all `poolings` laid end to end: (B, T, in_dim), mask -> (B, sum of their out_dims)."""

    def __init__(self, in_dim: int, *, poolings: Annotated[tuple[PoolingSpec, ...], Field(min_length=1)]) -> None:
        super().__init__()
        self.poolings = nn.ModuleList([POOLINGS.build(spec, in_dim=in_dim) for spec in poolings])
        self.out_dim = sum(pooling.out_dim for pooling in self.poolings)  # type: ignore[misc]
        self.positions_needed = max(getattr(pooling, "positions_needed", 1) for pooling in self.poolings)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([pooling(x, mask) for pooling in self.poolings], 1)

    def positions(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Where each pooled number stands in x, int64[B, out_dim]; None if one of the poolings mixes positions."""
        if not all(hasattr(pooling, "positions") for pooling in self.poolings):
            return None
        parts: list[Tensor | None] = [pooling.positions(x, mask) for pooling in self.poolings]  # type: ignore[operator]
        known = [part for part in parts if part is not None]
        return torch.cat(known, 1) if len(known) == len(parts) else None
