"""Ordered classes, such as one to five stars."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from textcnn.nn.heads.linear import Bound, Dropout, HiddenDim, LinearHead
from textcnn.registry import HEADS

Tensor = torch.Tensor


@HEADS.register("ordinal")
class Ordinal(LinearHead):
    """Proportional odds (McCullagh 1980): P(class <= k) = sigmoid(threshold_k - w . c), thresholds in rising order.

    One direction in the features for all classes, so that confusing neighbours costs less than confusing far ones.
    Puts out log P(class), float[B, num_classes], whose softmax is P itself; target int64[B].
    """

    losses = ("cross_entropy", "focal", "squared_error")

    def __init__(
        self, in_dim: int, num_classes: int,
        *, dropout: Dropout = 0.5, max_norm: Bound = 3.0, hidden_dim: HiddenDim = 0,
    ) -> None:  # fmt: skip
        super().__init__(in_dim, 1, dropout=dropout, max_norm=max_norm, hidden_dim=hidden_dim)
        # all classes alike before the first step: sigmoid(threshold_k) = (k + 1) / num_classes
        shares = torch.arange(1, num_classes) / num_classes
        start = torch.logit(shares)
        self.first = nn.Parameter(start[:1].clone())
        self.steps = nn.Parameter(torch.log(torch.expm1(start.diff())))  # behind a softplus, so that they stay positive

    @property
    def linear_in_features(self) -> bool:
        return False

    def forward(self, features: Tensor) -> Tensor:
        thresholds = torch.cat([self.first, self.first + F.softplus(self.steps).cumsum(0)])
        above = thresholds - super().forward(features).float()  # (B, num_classes - 1)
        # log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)), exact in both tails
        up_to, beyond = F.logsigmoid(above), F.logsigmoid(-above)
        between = torch.log(-torch.expm1(above[:, :-1] - above[:, 1:]))
        return torch.cat([up_to[:, :1], up_to[:, 1:] + beyond[:, :-1] + between, beyond[:, -1:]], 1)
