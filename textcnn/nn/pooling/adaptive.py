"""Pooling by chunks: where in the text something was found stays roughly known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from textcnn.nn.parts import Pooling
from textcnn.nn.pooling.average import Average
from textcnn.nn.pooling.max_over_time import MaxOverTime
from textcnn.registry import POOLINGS

Tensor = torch.Tensor


class AdaptivePooling(Pooling):
    """`chunks` vectors laid end to end: (B, T, in_dim), mask -> (B, chunks * in_dim).

    Chunk i of a text of n positions is floor(i n / chunks) up to ceil((i + 1) n / chunks), as in torch's
    AdaptiveMaxPool1d; so of fewer positions than chunks some serve several chunks. Zeros for an empty text.
    """

    pool: nn.Module

    def __init__(self, in_dim: int, *, chunks: Annotated[int, Field(ge=1, le=64)] = 2) -> None:
        super().__init__()
        self.chunks = self.positions_needed = chunks
        self.out_dim = chunks * in_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([self.pool(x, chunk) for chunk in self._chunks(mask)], 1)

    def _chunks(self, mask: Tensor) -> Iterator[Tensor]:
        """The mask of each chunk, bool[B, T]."""
        length = mask.sum(1)[:, None]
        t = torch.arange(mask.shape[1], device=mask.device)
        for i in range(self.chunks):
            start, end = i * length // self.chunks, -(-(i + 1) * length // self.chunks)
            yield (t >= start) & (t < end)


@POOLINGS.register("adaptive_max")
class AdaptiveMax(AdaptivePooling):
    """The largest activation in every chunk (Chen et al. 2015, dynamic multi-pooling; chunk-max)."""

    def __init__(self, in_dim: int, *, chunks: Annotated[int, Field(ge=1, le=64)] = 2) -> None:
        super().__init__(in_dim, chunks=chunks)
        self.pool: MaxOverTime = MaxOverTime(in_dim)

    def positions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Where each pooled number stands in x, int64[B, out_dim]; -1 for an empty text."""
        return torch.cat([self.pool.positions(x, chunk) for chunk in self._chunks(mask)], 1)


@POOLINGS.register("adaptive_average")
class AdaptiveAverage(AdaptivePooling):
    """The mean activation in every chunk."""

    def __init__(self, in_dim: int, *, chunks: Annotated[int, Field(ge=1, le=64)] = 2) -> None:
        super().__init__(in_dim, chunks=chunks)
        self.pool = Average(in_dim)
