"""Branches side by side on the same input, their channels concatenated."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from textcnn.errors import ConfigError
from textcnn.nn.blocks.stack import Stack
from textcnn.nn.parts import Block, Blocks, Span
from textcnn.nn.sizes import union
from textcnn.registry import BLOCKS, BlockSpec

Tensor = torch.Tensor


@BLOCKS.register("parallel")
class Parallel(Block):
    """Each of `branches` is a list of blocks; an empty one passes its input on, which makes a dense connection.

    All branches must make as many positions of a text: (B, T, in_dim), mask -> (B, T', sum of out_dims), mask.
    """

    def __init__(
        self, in_dim: int, *, branches: Annotated[tuple[tuple[BlockSpec, ...], ...], Field(min_length=1)]
    ) -> None:
        super().__init__()
        self.branches = Blocks(Stack(in_dim, blocks=blocks) for blocks in branches)
        self.out_dim = sum(branch.out_dim for branch in self.branches)
        for length in range(1, 130):
            sizes = [branch.size(length) for branch in self.branches]
            if len(set(sizes)) > 1:
                raise ConfigError(
                    f"branches must keep step: of a text of {length} tokens they make {_listing(sizes)} positions; "
                    "use padding 'same' and the same strides in all of them"
                )

    def size(self, length: int) -> int:
        return next(iter(self.branches)).size(length)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [branch(x, mask) for branch in self.branches]
        return torch.cat([y for y, _ in outputs], 2), outputs[0][1]

    def span(self, t: int, channel: int | None) -> Span | None:
        if channel is None:
            return union([branch.span(t, None) for branch in self.branches])
        for branch in self.branches:
            if channel < branch.out_dim:
                return branch.span(t, channel)
            channel -= branch.out_dim
        raise IndexError(channel)


def _listing(sizes: list[int]) -> str:
    return " and ".join([", ".join(map(str, sizes[:-1])), str(sizes[-1])])
