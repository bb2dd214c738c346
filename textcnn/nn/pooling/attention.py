"""A weighted mean over time whose weights are learned."""

from __future__ import annotations

import torch
from torch import nn

from textcnn.nn.parts import Pooling
from textcnn.nn.sizes import Channels
from textcnn.registry import POOLINGS

Tensor = torch.Tensor


@POOLINGS.register("attention")
class Attention(Pooling):
    """sum_t a_t x_t with a = softmax_t(v . tanh(W x_t + b)) (Yang et al. 2016, equations 5 to 7).

    (B, T, in_dim), mask -> (B, in_dim); zeros for an empty text.
    """

    def __init__(self, in_dim: int, *, hidden_dim: Channels = 64) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.hidden = nn.Linear(in_dim, hidden_dim)
        self.query = nn.Linear(hidden_dim, 1, bias=False)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """What each position counts, (B, T): 1 in sum, or zeros for an empty text."""
        scores: Tensor = self.query(torch.tanh(self.hidden(x)))[..., 0]
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~mask, lowest).softmax(1) * mask

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.einsum("bt,btd->bd", self.weights(x, mask), x)
