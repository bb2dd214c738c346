"""When to stop, and which epoch was best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textcnn.config import TrainConfig


@dataclass(slots=True)
class EarlyStopping:
    """Watches one validation figure. Of equal accuracies the lower loss wins, of equal losses the earlier epoch."""

    monitor: Literal["accuracy", "loss"]
    patience: int
    best: tuple[float, float] | None = None
    best_epoch: int = 0
    waited: int = 0

    @classmethod
    def from_config(cls, config: TrainConfig) -> EarlyStopping:
        return cls(config.monitor, config.patience)

    def better(self, epoch: int, *, accuracy: float, loss: float) -> bool:
        """Note an epoch's figures; True if it is the best so far."""
        score = (-accuracy, loss) if self.monitor == "accuracy" else (loss, 0.0)
        if self.best is None or score < self.best:
            self.best, self.best_epoch, self.waited = score, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def stop(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience
