"""Sigmoid: any number of labels a text, each by itself."""

from __future__ import annotations

import torch

from textcnn.nn.heads.linear import Bound, Dropout, HiddenDim, LinearHead
from textcnn.registry import HEADS

Tensor = torch.Tensor


@HEADS.register("multi_label")
class MultiLabel(LinearHead):
    """logits (B, num_classes), target float[B, num_classes] of 0 and 1.

    `thresholds` are the probabilities from which a label is given, one a label; training finds those that give each
    label its best F1 on the validation texts and writes them here.
    """

    losses = ("binary_cross_entropy", "focal", "squared_error")

    def __init__(
        self, in_dim: int, num_classes: int,
        *, dropout: Dropout = 0.5, max_norm: Bound = 3.0, hidden_dim: HiddenDim = 0,
        thresholds: tuple[float, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(in_dim, num_classes, dropout=dropout, max_norm=max_norm, hidden_dim=hidden_dim)
        self.thresholds = thresholds

    def right(self, logits: Tensor, target: Tensor) -> float:
        """Texts with exactly their labels, each from probability 0.5 on."""
        return float(((logits > 0) == (target > 0.5)).all(1).sum())
