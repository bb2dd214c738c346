"""What most heads are: dropout, perhaps a hidden layer, one linear layer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import nn

from textcnn.nn.dropout import dropout
from textcnn.nn.losses import Loss
from textcnn.nn.max_norm import clip_rows_

Tensor = torch.Tensor
Dropout = Annotated[float, Field(ge=0, lt=1)]
Bound = Annotated[float, Field(ge=0)]
HiddenDim = Annotated[int, Field(ge=0, le=65_536)]


class LinearHead(nn.Module):
    """features (B, in_dim) -> logits (B, num_outputs).

    With `hidden_dim` the features first pass a penultimate layer tanh(W c + b) of that width, dropped out like them.
    After each step the weight vector of every output is clipped to the L2 norm `max_norm` (0: never). Kim (2014,
    section 2.1) drops without rescaling and halves the weights at test time; torch's dropout rescales while training
    instead, so the same constraint is max_norm * (1 - dropout) on the weights as they stand.
    """

    losses: ClassVar[tuple[str, ...]]  # that can train it, the usual one first

    def __init__(self, in_dim: int, num_outputs: int, *, dropout: float, max_norm: float, hidden_dim: int) -> None:
        super().__init__()
        self.dropout = dropout
        self.max_norm = max_norm
        self.hidden = nn.Linear(in_dim, hidden_dim) if hidden_dim else None
        self.linear = nn.Linear(hidden_dim or in_dim, num_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def linear_in_features(self) -> bool:
        """Whether every logit is a sum over the features, each times its weight."""
        return self.hidden is None

    def forward(self, features: Tensor) -> Tensor:
        features = dropout(features, self.dropout, self.training)
        if self.hidden is not None:
            features = dropout(torch.tanh(self.hidden(features)), self.dropout, self.training)
        logits: Tensor = self.linear(features)
        return logits

    def loss(self, logits: Tensor, target: Tensor, criterion: Loss) -> Tensor:
        """The criterion's mean over the texts."""
        loss: Tensor = criterion(logits.float(), target)
        return loss

    def right(self, logits: Tensor, target: Tensor) -> float:
        """How many of the texts are right; what early stopping and progress call accuracy is their share."""
        return float((logits.argmax(1) == target).sum())

    @torch.no_grad()
    def constrain(self) -> None:
        """Clip after an optimizer step."""
        if self.max_norm:
            clip_rows_(self.linear.weight, self.max_norm * (1.0 - self.dropout))
