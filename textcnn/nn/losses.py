"""What a head is trained to make small: (logits float[B, C], target) -> the mean over the texts.

`target` is int64[B], one class a text, or float[B, C], a 0 or 1 for each label of each text; each loss says which it
takes. `class_weights` float[C] say how much the texts of a class count.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from textcnn.registry import LOSSES

Tensor = torch.Tensor
Amount = Annotated[float, Field(ge=0)]


class Loss(nn.Module):
    """Base: keeps the weights of the classes."""

    class_weights: Tensor | None

    def __init__(self, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        raise AssertionError("a subclass says how")

    def mean(self, losses: Tensor, target: Tensor) -> Tensor:
        """Of one number a text (target int64[B]), the mean weighted by class; of one a label, by label."""
        if self.class_weights is None:
            return losses.mean()
        weights = self.class_weights[target] if target.dim() == 1 else self.class_weights.expand_as(losses)
        return (losses * weights).sum() / weights.sum()


@LOSSES.register("cross_entropy")
class CrossEntropy(Loss):
    """-log p of the right class; `label_smoothing` spreads that share of the truth over all classes (Szegedy et al.
    2016, section 7)."""

    def __init__(
        self,
        class_weights: Tensor | None = None,
        *,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(class_weights)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, self.class_weights, label_smoothing=self.label_smoothing)


@LOSSES.register("hinge")
class Hinge(Loss):
    """The sum over wrong classes of max(0, margin - right + wrong) / C (Weston and Watkins 1999)."""

    def __init__(self, class_weights: Tensor | None = None, *, margin: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__(class_weights)
        self.margin = margin

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.mean(F.multi_margin_loss(logits, target, margin=self.margin, reduction="none"), target)


@LOSSES.register("focal")
class Focal(Loss):
    """(1 - p)^gamma times -log p: what is right already counts less (Lin et al. 2017, equation 4).

    p is the probability of the truth: of the right class, or of each label's 0 or 1.
    """

    def __init__(self, class_weights: Tensor | None = None, *, gamma: Amount = 2.0) -> None:
        super().__init__(class_weights)
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if target.dim() == 1:
            losses = F.cross_entropy(logits, target, reduction="none")
        else:
            losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return self.mean((1 - (-losses).exp()) ** self.gamma * losses, target)


@LOSSES.register("binary_cross_entropy")
class BinaryCrossEntropy(Loss):
    """Every label by itself: the mean of -log of the probability of its 0 or 1. One class a text is one 1 among 0."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        wanted = indicators(logits, target)
        return self.mean(F.binary_cross_entropy_with_logits(logits, wanted, reduction="none"), wanted)


@LOSSES.register("squared_error")
class SquaredError(Loss):
    """The squared distance between probabilities and truth (Brier 1950): sum over the classes, or mean over labels."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if target.dim() == 1:
            return self.mean((logits.softmax(1) - indicators(logits, target)).square().sum(1), target)
        return self.mean((logits.sigmoid() - target).square(), target)


def indicators(logits: Tensor, target: Tensor) -> Tensor:
    """The target as float[B, C] of 0 and 1."""
    if target.dim() == 2:
        return target
    return F.one_hot(target, logits.shape[1]).to(logits.dtype)
