"""An activation by itself, for what is activated before its convolution."""

from __future__ import annotations

import torch

from textcnn.nn.activations import ACTIVATIONS, Activation
from textcnn.nn.parts import Block
from textcnn.registry import BLOCKS

Tensor = torch.Tensor


@BLOCKS.register("activation")
class ActivationBlock(Block):
    """y = f(x), channel by channel."""

    def __init__(self, in_dim: int, *, function: Activation = "relu") -> None:
        super().__init__()
        self.out_dim = in_dim
        self.function = function

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return ACTIVATIONS[self.function](x), mask
