"""What a step of training makes small."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from textcnn.config import TrainConfig
from textcnn.nn.losses import Loss
from textcnn.nn.model import Network
from textcnn.nn.ragged import RaggedIds
from textcnn.registry import LOSSES

Tensor = torch.Tensor


def make_loss(
    network: Network, config: TrainConfig | None = None, class_weights: npt.NDArray[np.float32] | None = None
) -> Loss:
    """The loss that the configuration names, or the one that the head is made for."""
    spec = (config and config.loss) or {"type": network.head.losses[0]}  # type: ignore[index]
    weights = None if class_weights is None else torch.from_numpy(class_weights)
    loss: Loss = LOSSES.build(spec, class_weights=weights)
    return loss


class Objective:
    """The loss of a batch of training texts, with what R-Drop adds.

    R-Drop (Liang et al. 2021, equation 4) runs every text twice, each time with other neurons dropped, and adds
    `r_drop` times the mean of both Kullback-Leibler divergences between the two answers.
    """

    def __init__(self, network: Network, criterion: Loss, config: TrainConfig) -> None:
        self._network, self._criterion, self._r_drop = network, criterion, config.r_drop

    def __call__(self, ids: RaggedIds, target: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, logits float[B, C])."""
        head: Any = self._network.head
        logits: Tensor = self._network(ids)
        loss: Tensor = head.loss(logits, target, self._criterion)
        if self._r_drop:
            again: Tensor = self._network(ids)
            loss = (loss + head.loss(again, target, self._criterion)) / 2
            loss = loss + self._r_drop * symmetric_divergence(logits.float(), again.float())
        return loss, logits


def symmetric_divergence(left: Tensor, right: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of the softmax of two logits float[B, C], mean over the texts."""
    p, q = left.log_softmax(1), right.log_softmax(1)
    return ((p.exp() - q.exp()) * (p - q)).sum(1).mean() / 2
