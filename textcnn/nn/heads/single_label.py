"""Softmax: exactly one label a text."""

from __future__ import annotations

from textcnn.nn.heads.linear import Bound, Dropout, HiddenDim, LinearHead
from textcnn.registry import HEADS


@HEADS.register("single_label")
class SingleLabel(LinearHead):
    """logits (B, num_classes), target int64[B]; Kim (2014), section 2.1."""

    losses = ("cross_entropy", "hinge", "focal", "binary_cross_entropy", "squared_error")

    def __init__(
        self, in_dim: int, num_classes: int,
        *, dropout: Dropout = 0.5, max_norm: Bound = 3.0, hidden_dim: HiddenDim = 0,
    ) -> None:  # fmt: skip
        super().__init__(in_dim, num_classes, dropout=dropout, max_norm=max_norm, hidden_dim=hidden_dim)
