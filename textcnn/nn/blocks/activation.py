"""An activation by itself, for what is activated before its convolution."""

from __future__ import annotations

import torch
from torch import nn

from textcnn.nn.activations import ACTIVATIONS, Activation
from textcnn.registry import BLOCKS

Tensor = torch.Tensor


@BLOCKS.register("activation")
class ActivationBlock(nn.Module):
    """y = f(x), channel by channel."""

    def __init__(self, in_dim: int, *, function: Activation = "relu") -> None:
        super().__init__()
        self.out_dim = in_dim
        self.function = function

    def size(self, length: int) -> int:
        return length

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return ACTIVATIONS[self.function](x), mask

    def span(self, t: int, channel: int | None) -> tuple[int, int]:
        return t, t + 1
