"""When to stop, and which epoch was best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textcnn.choices import Monitor
from textcnn.config import TrainConfig


@dataclass(slots=True)
class EarlyStopping:
    """Picks the best epoch by one validation figure, and stops when the validation loss has not fallen for a while.

    Of equal accuracies the lower loss wins, of equal losses the earlier epoch. Accuracy goes on creeping up by chance
    long after the loss has turned, so it chooses but does not keep the run going.
    """

    monitor: Monitor
    patience: int
    best: tuple[float, float] | None = None
    best_epoch: int = 0
    lowest_loss: float = float("inf")
    waited: int = 0

    @classmethod
    def from_config(cls, config: TrainConfig) -> EarlyStopping:
        return cls(config.monitor, config.patience)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EarlyStopping:
        """What dataclasses.asdict gave before it went through JSON, which has lists for tuples."""
        best = values["best"]
        return cls(**{**values, "best": best and (best[0], best[1])})

    def better(self, epoch: int, *, accuracy: float, loss: float) -> bool:
        """Note an epoch's figures; True if it is the best so far."""
        self.waited += 1
        if loss < self.lowest_loss:
            self.lowest_loss, self.waited = loss, 0
        score = (-accuracy, loss) if self.monitor == "accuracy" else (loss, 0.0)
        if self.best is not None and not score < self.best:  # a loss that is no number is never better
            return False
        self.best, self.best_epoch = score, epoch
        return True

    @property
    def stop(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience
