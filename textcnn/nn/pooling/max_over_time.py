"""Max over time."""

from __future__ import annotations

import torch

from textcnn.nn.parts import Pooling
from textcnn.registry import POOLINGS

Tensor = torch.Tensor


@POOLINGS.register("max_over_time")
class MaxOverTime(Pooling):
    """The largest activation of every channel (Collobert et al. 2011; Kim 2014, section 2); zeros for an empty text."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], x.shape[2])
        best = x.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)
        return torch.where(mask.any(dim=1)[:, None], best, 0.0)

    def positions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Where each pooled number stands in x, int64[B, out_dim]: the first of equal ones; -1 for an empty text."""
        if x.shape[1] == 0:
            return torch.full((x.shape[0], x.shape[2]), -1, device=x.device)
        at = x.masked_fill(~mask[..., None], -torch.inf).argmax(dim=1)
        return torch.where(mask.any(dim=1)[:, None], at, -1)
