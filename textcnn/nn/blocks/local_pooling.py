"""Pooling over a few neighbouring positions, which may shorten the text: the largest of them, or their mean."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from textcnn.nn.parts import Block, Span
from textcnn.nn.sizes import Tokens, mask_of, padding_of
from textcnn.registry import BLOCKS

Tensor = torch.Tensor


class LocalPooling(Block):
    """`width` positions at a time, `stride` apart: (B, T, in_dim), mask -> (B, T', in_dim), mask.

    Padding `valid` starts the first window at the first position and lets the last one hang over the end, so that no
    position is lost: ceil((T - width) / stride) + 1 windows, at least one. `same` centres the windows: ceil(T / stride)
    of them. Positions outside the text do not count in either.
    """

    def __init__(
        self, in_dim: int, *, width: Tokens = 3, stride: Tokens = 2, padding: Literal["valid", "same"] = "valid"
    ) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.width, self.stride, self.padding = width, stride, padding
        self._left = padding_of(width, padding)[0]

    def size(self, length: int) -> int:
        if self.padding == "same" or not length:
            return -(-length // self.stride)
        return -(-max(length - self.width, 0) // self.stride) + 1

    def _sizes(self, lengths: Tensor) -> Tensor:
        if self.padding == "same":
            return -(-lengths // self.stride)
        return (-(-(lengths - self.width).clamp(min=0) // self.stride) + 1) * (lengths > 0)

    def _around(self, x: Tensor, fill: float) -> Tensor:
        """(B, T, D) -> (B, D, T + what the windows reach over)."""
        needed = (self.size(x.shape[1]) - 1) * self.stride + self.width
        x = x.transpose(1, 2)[:, :, : max(needed - self._left, 0)]
        return F.pad(x, (self._left, max(needed - self._left - x.shape[2], 0)), value=fill)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        longest = self.size(x.shape[1])
        after = mask_of(self._sizes(mask.sum(1)), longest)
        if not longest:
            return x[:, :0], after
        return self.pool(x, mask).transpose(1, 2).masked_fill(~after[..., None], 0.0), after

    def pool(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, in_dim, T')."""
        raise AssertionError("a subclass says how")

    def span(self, t: int, channel: int | None) -> Span:
        start = t * self.stride - self._left
        return start, start + self.width


@BLOCKS.register("local_max")
class LocalMax(LocalPooling):
    """The largest of a few neighbours, channel by channel."""

    def pool(self, x: Tensor, mask: Tensor) -> Tensor:
        # the least finite number, for -inf has no gradient to speak of where a window is empty
        lowest = torch.finfo(x.dtype).min
        return F.max_pool1d(self._around(x.masked_fill(~mask[..., None], lowest), lowest), self.width, self.stride)


@BLOCKS.register("local_average")
class LocalAverage(LocalPooling):
    """The mean of a few neighbours, channel by channel."""

    def pool(self, x: Tensor, mask: Tensor) -> Tensor:
        inside = mask[..., None].to(x.dtype)
        total = F.avg_pool1d(self._around(x * inside, 0.0), self.width, self.stride)
        share = F.avg_pool1d(self._around(inside, 0.0), self.width, self.stride)
        return total / share.clamp(min=1 / (2 * self.width))
