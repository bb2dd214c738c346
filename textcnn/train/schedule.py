"""How the learning rate changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from textcnn.choices import LearningRateSchedule
from textcnn.config import TrainConfig


@dataclass(slots=True)
class Schedule:
    """The factor on the configured learning rate at every step.

    It rises in a straight line over the first `warmup` steps, then stands (`constant`), falls in a straight line
    (`linear`) or along half a cosine to zero at the last of `steps`, or is multiplied by `factor` whenever the
    validation loss has not fallen for `patience` epochs (`plateau`).
    """

    kind: LearningRateSchedule
    learning_rate: float
    warmup: int
    steps: int
    factor: float
    patience: int
    scale: float = 1.0
    best: float = float("inf")
    waited: int = 0

    @classmethod
    def from_config(cls, config: TrainConfig, *, steps_per_epoch: int) -> Schedule:
        return cls(
            config.schedule,
            config.learning_rate,
            round(config.warmup_epochs * steps_per_epoch),
            config.max_epochs * steps_per_epoch,
            config.plateau_factor,
            config.plateau_patience,
        )

    def before_step(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set the rate of step 0, 1, 2 ... counted over all epochs."""
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * self._factor(step)

    def _factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.kind == "linear":
            return 1 - done
        if self.kind == "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        return self.scale

    def after_epoch(self, *, loss: float) -> None:
        if self.kind != "plateau":
            return
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.waited = 0
            self.scale *= self.factor
