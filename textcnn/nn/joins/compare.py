"""Several texts of one record, side by side and against each other."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field

from textcnn.nn.parts import Join
from textcnn.registry import JOINS

Tensor = torch.Tensor


@JOINS.register("compare")
class Compare(Join):
    """(B, texts, in_dim), mask -> (B, texts² * in_dim): the vectors, then |u - v| and u * v of each two of them.

    For two texts this is the matching layer of Mou et al. (2016, section 3.2) and InferSent (Conneau et al. 2017,
    section 3.1). `texts` is read off the data by training, which writes it here.
    """

    segments = "columns"
    keep_empty = True  # a text without words still has its place

    def __init__(self, in_dim: int, *, texts: Annotated[int, Field(ge=2, le=100)] | None = None) -> None:
        super().__init__()
        self.texts = texts or 2
        self.out_dim = self.texts**2 * in_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        assert x.shape[1] == self.texts and bool(mask.all()), (x.shape, self.texts)
        vectors = x.unbind(1)
        pairs = list(combinations(vectors, 2))
        return torch.cat([*vectors, *((u - v).abs() for u, v in pairs), *(u * v for u, v in pairs)], 1)
