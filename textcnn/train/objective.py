"""What a step of training makes small."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from textcnn.config import AuxiliaryConfig, TrainConfig
from textcnn.nn.losses import Loss
from textcnn.nn.model import Network
from textcnn.nn.ragged import RaggedIds
from textcnn.registry import LOSSES

Tensor = torch.Tensor


def make_loss(
    network: Network, config: TrainConfig | None = None, class_weights: npt.NDArray[np.float32] | None = None
) -> Loss:
    """The loss that the configuration names, or the one that the head is made for."""
    spec = (config and config.loss) or {"type": network.head.losses[0]}
    weights = None if class_weights is None else torch.from_numpy(class_weights)
    loss: Loss = LOSSES.build(spec, class_weights=weights)
    return loss


class Objective:
    """The loss of a batch of training texts, with what mixup, R-Drop and auxiliary heads make of it.

    R-Drop (Liang et al. 2021, equation 4) runs every text twice, each time with other neurons dropped, and adds
    `r_drop` times the mean of both Kullback-Leibler divergences between the two answers.
    """

    def __init__(
        self, network: Network, criterion: Loss, config: TrainConfig, auxiliary: AuxiliaryConfig | None = None
    ) -> None:
        self._network, self._criterion = network, criterion
        self._r_drop, self._mixup = config.r_drop, config.mixup
        self._auxiliary = auxiliary or AuxiliaryConfig()
        self._weight = self._auxiliary.weight

    def start(self, epoch: int) -> None:
        """Epochs count from 1; the auxiliary heads count for less in each."""
        self._weight = self._auxiliary.weight * max(0.0, 1 - (epoch - 1) / self._auxiliary.fade_epochs)

    def __call__(self, ids: RaggedIds, target: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, logits float[B, C])."""
        loss, logits = self._pass(ids, target)
        if self._r_drop:
            another, again = self._pass(ids, target)
            loss = (loss + another) / 2 + self._r_drop * symmetric_divergence(logits.float(), again.float())
        return loss, logits

    def _pass(self, ids: RaggedIds, target: Tensor) -> tuple[Tensor, Tensor]:
        head = self._network.head
        if self._mixup:
            return self._mixed(ids, target)
        if not self._weight:
            logits: Tensor = self._network(ids)
            return head.loss(logits, target, self._criterion), logits
        logits, *others = self._network.forward_all(ids)
        loss: Tensor = head.loss(logits, target, self._criterion)
        for other in others:
            loss = loss + self._weight * head.loss(other, target, self._criterion)
        return loss, logits

    def _mixed(self, ids: RaggedIds, target: Tensor) -> tuple[Tensor, Tensor]:
        """Each text mixed with another of the batch behind the pooling, and so the loss (Guo et al. 2019, senMixup)."""
        head = self._network.head
        share = float(torch.distributions.Beta(self._mixup, self._mixup).sample())
        share = max(share, 1 - share)  # so that a text's own label is what it mostly is
        other = torch.randperm(len(target), device=target.device)
        features = self._network.features(ids)
        logits: Tensor = head(share * features + (1 - share) * features[other])
        loss = share * head.loss(logits, target, self._criterion)
        return loss + (1 - share) * head.loss(logits, target[other], self._criterion), logits


def symmetric_divergence(left: Tensor, right: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of the softmax of two logits float[B, C], mean over the texts."""
    p, q = left.log_softmax(1), right.log_softmax(1)
    return ((p.exp() - q.exp()) * (p - q)).sum(1).mean() / 2
