"""What a block, a pooling and a join promise; each name in the registries is a subclass of one of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, cast

import torch
from torch import nn

Tensor = torch.Tensor
Span = tuple[int, int]  # the tokens from the first up to, and without, the second


class Block(nn.Module):
    """Between embedding and pooling: x float[B, T, in_dim], mask bool[B, T] -> float[B, T', out_dim], mask bool[B, T'].

    A mask is true at the front of a row, where the text is. By default a block looks at each position by itself.
    """

    out_dim: int

    def size(self, length: int) -> int:
        """Positions put out for a text of `length` positions."""
        return length

    def span(self, t: int, channel: int | None) -> Span | None:
        """The positions that position `t` of a channel (None: of any) is computed from, unclipped; None: no bounds."""
        return t, t + 1


class Blocks(nn.ModuleList):
    """A ModuleList of blocks, and as one knows it."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        super().__init__(blocks)

    def __iter__(self) -> Iterator[Block]:
        return cast(Iterator[Block], super().__iter__())


class Pooling(nn.Module):
    """From a sequence to one vector: x float[B, T, in_dim], mask bool[B, T] -> float[B, out_dim].

    `positions_needed` is the number of positions below which some of the numbers say nothing new. Where each number
    stands in x, `positions(x, mask)` gives int64[B, out_dim], -1 for none; a pooling that mixes positions has no such
    method.
    """

    out_dim: int
    positions_needed: int = 1


class Join(nn.Module):
    """From the vectors of segments to one: x float[B, S, in_dim], mask bool[B, S] -> float[B, out_dim].

    `segments` is the text.segments that it joins; `keep_empty`: a segment without words still has its place.
    """

    out_dim: int
    segments: ClassVar[str]
    keep_empty: ClassVar[bool]
