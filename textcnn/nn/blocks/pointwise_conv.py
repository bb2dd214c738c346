"""A convolution of width 1: mixes the channels of each position, and widens or narrows them."""

from __future__ import annotations

import torch
from torch import nn

from textcnn.nn.activations import ACTIVATIONS, Activation
from textcnn.nn.parts import Block
from textcnn.nn.sizes import Channels
from textcnn.registry import BLOCKS

Tensor = torch.Tensor


@BLOCKS.register("pointwise_conv")
class PointwiseConv(Block):
    """y_t = f(W x_t + b) (Lin et al. 2013, network in network): (B, T, in_dim), mask -> (B, T, num_filters), mask."""

    def __init__(self, in_dim: int, *, num_filters: Channels = 100, activation: Activation = "relu") -> None:
        super().__init__()
        self.out_dim = num_filters
        self.activation = activation
        self.linear = nn.Linear(in_dim, num_filters)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return ACTIVATIONS[self.activation](self.linear(x)), mask
