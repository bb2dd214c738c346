"""The paper's convolution layer: filters of several widths side by side."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from textcnn.kernels.windows import Windows
from textcnn.nn.activations import ACTIVATIONS, NON_DECREASING, Activation
from textcnn.registry import BLOCKS

Tensor = torch.Tensor
Width = Annotated[int, Field(ge=1, le=64)]
Count = Annotated[int, Field(ge=1)]


@BLOCKS.register("kim_conv")
class KimConv(nn.Module):
    """c_i = f(w . x_{i:i+h-1} + b) for every window and filter (Kim 2014, equation 2), padded to keep the length.

    (B, T, in_dim), mask -> (B, T, out_dim), mask, where out_dim is len(filter_widths) * num_filters. `weight` is one
    matrix [sum of width * num_filters, in_dim] in the order that `Windows` states.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        filter_widths: tuple[Width, ...] = (3, 4, 5),
        num_filters: Count = 100,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.windows = Windows(tuple(filter_widths), (num_filters,) * len(filter_widths), "same")
        self.out_dim = self.windows.features
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(self.windows.rows, in_dim))
        self.bias = nn.Parameter(torch.zeros(self.out_dim))
        for width, filters, row, _, _ in self.windows.groups():
            # Glorot over the whole window; the paper's U[-0.01, 0.01] needs Adadelta's large first steps
            bound = (6.0 / (width * in_dim + filters)) ** 0.5
            nn.init.uniform_(self.weight[row : row + width * filters], -bound, bound)

    @property
    def fusable(self) -> bool:
        """Whether max over time may be taken before the activation."""
        return self.activation in NON_DECREASING

    def activate(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](x)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = (x * mask[..., None]).transpose(1, 2)  # (B, D, T); zeros behind the end, as padding inside the text
        parts = []
        for width, filters, row, feature, left in self.windows.groups():
            kernel = self.weight[row : row + width * filters].view(width, filters, -1).permute(1, 2, 0)
            padded = F.pad(x, (left, width - 1 - left))
            parts.append(F.conv1d(padded, kernel, self.bias[feature : feature + filters]))
        return self.activate(torch.cat(parts, 1).transpose(1, 2)), mask

    def span(self, t: int, channel: int) -> tuple[int, int]:
        """The tokens that position `t` of a channel was computed from: start inclusive, end exclusive, unclipped."""
        width = int(self.windows.width_of_feature[channel])
        start = t - self.windows.pad(width)[0]
        return start, start + width
