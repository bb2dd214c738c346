"""Dropout between blocks."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from textcnn.nn.dropout import dropout
from textcnn.nn.parts import Block
from textcnn.registry import BLOCKS

Tensor = torch.Tensor


@BLOCKS.register("dropout")
class Dropout(Block):
    """Drops each number with probability `rate` while training (Srivastava et al. 2014)."""

    def __init__(self, in_dim: int, *, rate: Annotated[float, Field(ge=0, lt=1)] = 0.2) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.rate = rate

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return dropout(x, self.rate, self.training), mask
