"""The state at the end of the text, for recurrent blocks."""

from __future__ import annotations

import torch

from textcnn.nn.parts import Pooling
from textcnn.registry import POOLINGS

Tensor = torch.Tensor


@POOLINGS.register("last_state")
class LastState(Pooling):
    """The channels at the last position: (B, T, in_dim), mask -> (B, in_dim); zeros for an empty text.

    With `bidirectional` the second half of the channels, which read the text from its end, is taken at the first.
    """

    def __init__(self, in_dim: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.bidirectional = bidirectional

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], x.shape[2])
        last = (mask.sum(1) - 1).clamp(min=0)
        state = x[torch.arange(len(x), device=x.device), last]
        if self.bidirectional:
            half = x.shape[2] // 2
            state = torch.cat([state[:, :half], x[:, 0, half:]], 1)
        return state * mask.any(1)[:, None]
