"""Embedding, blocks and pooling: a text becomes one vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from textcnn.kernels.conv_max import conv_max
from textcnn.nn.blocks.kim_conv import KimConv
from textcnn.nn.embedding import Embedding
from textcnn.nn.pooling.max_over_time import MaxOverTime
from textcnn.nn.ragged import RaggedIds

Tensor = torch.Tensor


class Encoder(nn.Module):
    """Ragged ids -> float[B, out_dim].

    Embedding -> one convolution -> max over time is fused: the distinct tokens are projected once and no rectangle is
    made. Any other stack is padded once and run block by block. Both ways give the same numbers.
    """

    def __init__(self, embedding: Embedding, blocks: Sequence[nn.Module], pooling: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.pooling = pooling
        self.out_dim: int = pooling.out_dim  # type: ignore[assignment]

    @property
    def fused(self) -> bool:
        only = self.blocks[0] if len(self.blocks) == 1 else None
        return isinstance(only, KimConv) and only.fusable and isinstance(self.pooling, MaxOverTime)

    def forward(self, ids: RaggedIds) -> Tensor:
        # on a CPU the fused way is compiled for float32, which autocast is not
        lower = torch.is_autocast_enabled("cpu") and ids.values.device.type == "cpu"
        return self.forward_fused(ids) if self.fused and not lower else self.forward_padded(ids)

    def forward_fused(self, ids: RaggedIds) -> Tensor:
        conv = self.blocks[0]
        assert isinstance(conv, KimConv)
        vectors = self.embedding(ids.unique)
        best, _ = conv_max(vectors, ids.local, ids.offsets, conv.weight, conv.bias, conv.windows)
        not_empty = (ids.offsets.diff() > 0)[:, None]
        return torch.where(not_empty, conv.activate(torch.where(not_empty, best, 0.0)), 0.0)

    def forward_padded(self, ids: RaggedIds) -> Tensor:
        return self.forward_between(ids)[0]

    def forward_between(self, ids: RaggedIds) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The pooled vector, and what each block put out with its mask."""
        padded, mask = ids.padded()
        x = self.embedding(padded)
        between = []
        for block in self.blocks:
            x, mask = block(x, mask)
            between.append((x, mask))
        return self.pooling(x, mask), between
