"""How the learning rate changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from textcnn.config import TrainConfig


@dataclass(slots=True)
class Plateau:
    """Multiply the learning rate by `factor` when the validation loss has not fallen for `patience` epochs.

    `factor` 1 is the constant schedule.
    """

    factor: float
    patience: int
    best: float = float("inf")
    waited: int = 0

    @classmethod
    def from_config(cls, config: TrainConfig) -> Plateau:
        return cls(config.plateau_factor if config.schedule == "plateau" else 1.0, config.plateau_patience)

    def after_epoch(self, optimizer: torch.optim.Optimizer, *, loss: float) -> None:
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.waited = 0
            for group in optimizer.param_groups:
                group["lr"] *= self.factor
