"""Batch normalisation over what is inside the texts."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from textcnn.nn.parts import Block
from textcnn.registry import BLOCKS

Tensor = torch.Tensor


@BLOCKS.register("batch_norm")
class BatchNorm(Block):
    """Every channel with mean 0 and variance 1, then scaled and shifted (Ioffe and Szegedy 2015).

    Mean and variance are those of all tokens of the batch, never of padding, so a text does not depend on how far its
    batch was padded. Running ones serve outside training; `momentum` is the share of the newest batch in them.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, in_dim: int, *, momentum: Annotated[float, Field(gt=0, le=1)] = 0.1) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(in_dim))
        self.bias = nn.Parameter(torch.zeros(in_dim))
        self.register_buffer("mean", torch.zeros(in_dim))
        self.register_buffer("variance", torch.ones(in_dim))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        inside = x[mask]
        # one token alone has no variance
        from_batch = self.training and len(inside) > 1
        normal = F.batch_norm(inside, self.mean, self.variance, self.weight, self.bias, from_batch, self.momentum)
        y = x.new_zeros(x.shape, dtype=normal.dtype)
        y[mask] = normal
        return y, mask
