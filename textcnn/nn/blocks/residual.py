"""A shortcut around any blocks, so that deep networks still pass their gradient down."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from textcnn.errors import ConfigError
from textcnn.nn.activations import ACTIVATIONS, Activation
from textcnn.nn.blocks.stack import Stack, changed_length
from textcnn.nn.parts import Block, Span
from textcnn.registry import BLOCKS, BlockSpec

Tensor = torch.Tensor


@BLOCKS.register("residual")
class Residual(Block):
    """y = f(blocks(x) + x) (He et al. 2016): (B, T, in_dim), mask -> (B, T, out_dim), mask.

    Where the blocks change the number of channels, the shortcut is a projection of width 1. They must keep the length;
    what shortens a text stands between residual blocks.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        blocks: Annotated[tuple[BlockSpec, ...], Field(min_length=1)],
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.inner = Stack(in_dim, blocks=blocks)
        self.out_dim = self.inner.out_dim
        self.activation = activation
        if changed := changed_length(self.inner):
            raise ConfigError(
                f"the blocks inside a residual make {changed[1]} positions of {changed[0]} tokens, so that their "
                "input cannot be added; use padding 'same' and stride 1 there, and shorten between residuals"
            )
        self.shortcut = nn.Identity() if self.out_dim == in_dim else nn.Linear(in_dim, self.out_dim, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.inner(x, mask)
        return ACTIVATIONS[self.activation](y + self.shortcut(x)), mask

    def span(self, t: int, channel: int | None) -> Span | None:
        # the shortcut's token may lie outside an even window's centre only if the window has no tokens
        found = self.inner.span(t, channel)
        return found and (min(found[0], t), max(found[1], t + 1))
