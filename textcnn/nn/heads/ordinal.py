"""Ordered classes, such as one to five stars."""

from __future__ import annotations

import torch

from textcnn.nn.heads.linear import Bound, Dropout, HiddenDim, LinearHead
from textcnn.registry import HEADS

Tensor = torch.Tensor


@HEADS.register("ordinal")
class Ordinal(LinearHead):
    """Adjacent categories (Goodman 1983; Agresti 2010, section 4.1): log P(k + 1) / P(k) = w . c + b_k.

    One direction w in the features for all steps from class to class, so that far classes are less alike than near
    ones. It is a linear layer whose weight vectors are (k - middle) w, which holds after each step of training by
    projection; so all that runs and explains linear heads runs this one. Logits float[B, num_classes]; target int64[B].
    """

    losses = ("cross_entropy", "focal", "squared_error")

    def __init__(
        self, in_dim: int, num_classes: int,
        *, dropout: Dropout = 0.5, max_norm: Bound = 3.0, hidden_dim: HiddenDim = 0,
    ) -> None:  # fmt: skip
        super().__init__(in_dim, num_classes, dropout=dropout, max_norm=max_norm, hidden_dim=hidden_dim)

    @torch.no_grad()
    def constrain(self) -> None:
        """Put the weight vectors in line, the longest of them within the norm."""
        weight = self.linear.weight
        places = torch.arange(len(weight), dtype=weight.dtype, device=weight.device) - (len(weight) - 1) / 2
        direction = places @ weight / (places @ places)
        if self.max_norm:
            longest = direction.norm() * places[-1]
            direction *= (self.max_norm * (1.0 - self.dropout) / longest).clamp(max=1.0)
        weight.copy_(torch.outer(places, direction))
