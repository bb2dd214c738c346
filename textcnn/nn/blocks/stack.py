"""Blocks one after the other, as one block, several times over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field

from textcnn.nn.parts import Block, Blocks, Span
from textcnn.nn.sizes import union
from textcnn.registry import BLOCKS, BlockSpec

Tensor = torch.Tensor


@BLOCKS.register("stack")
class Stack(Block):
    """`blocks` in order, and the whole `repeat` times, each time with weights of its own.

    What comes after another block in the list of a network needs no stack; branches and deep networks do.
    """

    def __init__(
        self, in_dim: int, *, blocks: tuple[BlockSpec, ...], repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    ) -> None:
        super().__init__()
        built: list[Block] = []
        self.out_dim = in_dim
        for spec in blocks * repeat:
            built.append(BLOCKS.build(spec, in_dim=self.out_dim))
            self.out_dim = built[-1].out_dim
        self.blocks = Blocks(built)

    def size(self, length: int) -> int:
        return size_after(self.blocks, length)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x, mask = block(x, mask)
        return x, mask

    def span(self, t: int, channel: int | None) -> Span | None:
        """All tokens from the first to the last that the position depends on, through every block."""
        found: Span | None = (t, t + 1)
        for block in reversed(list(self.blocks)):
            assert found is not None
            found = union([block.span(found[0], channel), block.span(found[1] - 1, channel)])
            if found is None:
                return None
            channel = None  # every channel of the block below is mixed in
        return found


def size_after(blocks: Iterable[Block], length: int) -> int:
    """Positions that `blocks`, in order, make of `length` tokens."""
    for block in blocks:
        length = block.size(length)
    return length


def changed_length(block: Block) -> tuple[int, int] | None:
    """A number of tokens, and the different number that the block makes of them; None if it keeps every length."""
    return next(((length, block.size(length)) for length in range(1, 130) if block.size(length) != length), None)
