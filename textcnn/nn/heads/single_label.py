"""Dropout, one linear layer, softmax: exactly one label a text."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from textcnn.nn.dropout import dropout
from textcnn.nn.losses import Loss
from textcnn.nn.max_norm import clip_rows_
from textcnn.registry import HEADS

Tensor = torch.Tensor


@HEADS.register("single_label")
class SingleLabel(nn.Module):
    """features (B, in_dim) -> logits (B, num_classes); Kim (2014), section 2.1.

    After each step the weight vector of every class is clipped to the L2 norm `max_norm` (0: never). The paper drops
    without rescaling and halves the weights at test time; torch's dropout rescales while training instead, so the same
    constraint is max_norm * (1 - dropout) on the weights as they stand.
    """

    # that can train it, the usual one first
    losses = ("cross_entropy", "hinge", "focal", "binary_cross_entropy", "squared_error")

    def __init__(
        self,
        in_dim: int,
        num_classes: int,
        *,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        max_norm: Annotated[float, Field(ge=0)] = 3.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.max_norm = max_norm
        self.linear = nn.Linear(in_dim, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(dropout(features, self.dropout, self.training))
        return logits

    def loss(self, logits: Tensor, target: Tensor, criterion: Loss) -> Tensor:
        """The criterion's mean over the texts; target int64[B]."""
        loss: Tensor = criterion(logits.float(), target)
        return loss

    @torch.no_grad()
    def constrain(self) -> None:
        """Clip after an optimizer step."""
        if self.max_norm:
            clip_rows_(self.linear.weight, self.max_norm * (1.0 - self.dropout))
