"""Several poolings of the same sequence, side by side."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from textcnn.nn.parts import Pooling
from textcnn.registry import POOLINGS, PoolingSpec

Tensor = torch.Tensor


@POOLINGS.register("concatenate")
class Concatenate(Pooling):
    """The vectors of all `poolings` laid end to end: (B, T, in_dim), mask -> (B, sum of their out_dims)."""

    def __init__(self, in_dim: int, *, poolings: Annotated[tuple[PoolingSpec, ...], Field(min_length=1)]) -> None:
        super().__init__()
        built: list[Pooling] = [POOLINGS.build(spec, in_dim=in_dim) for spec in poolings]
        self.poolings = nn.ModuleList(built)
        self.out_dim = sum(pooling.out_dim for pooling in built)
        self.positions_needed = max(pooling.positions_needed for pooling in built)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([pooling(x, mask) for pooling in self.poolings], 1)

    def positions(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Where each pooled number stands in x, int64[B, out_dim]; None if one of the poolings mixes positions."""
        parts: list[Tensor] = []
        for pooling in self.poolings:
            positions: Any = getattr(pooling, "positions", None)
            if positions is None or (part := positions(x, mask)) is None:
                return None
            parts.append(part)
        return torch.cat(parts, 1)
