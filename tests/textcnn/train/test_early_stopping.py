from __future__ import annotations

import pytest

from textcnn.config import TrainConfig
from textcnn.train.early_stopping import EarlyStopping


def watch(figures: list[tuple[float, float]], **settings: object) -> tuple[list[int], int, int]:
    """The epochs better than all before them, the best one, and the epoch after which training stops (0: never)."""
    stopping = EarlyStopping.from_config(TrainConfig(**settings))
    better = []
    for epoch, (accuracy, loss) in enumerate(figures, start=1):
        if stopping.better(epoch, accuracy=accuracy, loss=loss):
            better.append(epoch)
        if stopping.stop:
            return better, stopping.best_epoch, epoch
    return better, stopping.best_epoch, 0


def test_it_stops_after_patience_epochs_without_a_lower_loss() -> None:
    figures = [(0.5, 1.0), (0.6, 0.9), (0.6, 1.1), (0.7, 0.9), (0.8, 1.0)]
    assert watch(figures, patience=2) == ([1, 2, 4], 4, 4)
    assert watch(figures, patience=3) == ([1, 2, 4, 5], 5, 5)
    assert watch(figures, patience=4) == ([1, 2, 4, 5], 5, 0)


def test_patience_0_never_stops() -> None:
    assert watch([(0.5, 1.0)] * 9, patience=0) == ([1], 1, 0)


def test_of_equal_accuracies_the_lower_loss_is_better() -> None:
    assert watch([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9)])[:2] == ([1, 2], 2)


def test_the_loss_may_be_watched_instead() -> None:
    assert watch([(0.5, 1.0), (0.9, 1.1), (0.4, 0.9)], monitor="loss")[:2] == ([1, 3], 3)


@pytest.mark.parametrize("monitor", ["accuracy", "loss"])
def test_a_loss_that_is_no_number_is_never_better(monitor: str) -> None:
    nan = float("nan")
    assert watch([(0.5, 1.0), (0.5, nan), (0.5, 0.9)], monitor=monitor)[:2] == ([1, 3], 3)
