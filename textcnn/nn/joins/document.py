"""The sentences of a document as a text of their own, in which each is a word."""

from __future__ import annotations

import torch

from textcnn.nn.blocks.stack import Stack
from textcnn.nn.parts import Join
from textcnn.registry import JOINS, POOLINGS, BlockSpec, PoolingSpec

Tensor = torch.Tensor
MAX_OVER_TIME: PoolingSpec = {"type": "max_over_time"}


@JOINS.register("document")
class Document(Join):
    """(B, S, in_dim), mask -> (B, out_dim): `blocks` and `pooling` over the vectors of the sentences.

    Denil et al. (2014, section 3) convolve and pool the words of each sentence, then the sentences of the document.
    Any block and any pooling can stand on either level.
    """

    segments = "sentences"
    keep_empty = False

    def __init__(
        self,
        in_dim: int,
        *,
        blocks: tuple[BlockSpec, ...] = ({"type": "kim_conv", "filter_widths": [1, 2, 3], "num_filters": 100},),
        pooling: PoolingSpec = MAX_OVER_TIME,
    ) -> None:
        super().__init__()
        self.blocks = Stack(in_dim, blocks=blocks)
        self.pooling = POOLINGS.build(pooling, in_dim=self.blocks.out_dim)
        self.out_dim = self.pooling.out_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        pooled: Tensor = self.pooling(*self.blocks(x, mask))
        return pooled
