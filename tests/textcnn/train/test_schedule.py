from __future__ import annotations

import pytest
import torch

from textcnn.config import TrainConfig
from textcnn.train.schedule import Plateau

LOSSES = [1.0, 0.9, 0.95, 0.92, 0.93, 0.91, 0.8, 0.85, 0.84]


def learning_rates(**settings: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plateau = Plateau.from_config(TrainConfig(**settings))  # type: ignore[arg-type]
    rates = []
    for loss in LOSSES:
        plateau.after_epoch(optimizer, loss=loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("patience", [1, 2])
def test_plateau_equals_torchs(patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=0.0)
    expected = []
    for loss in LOSSES:
        theirs.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    assert learning_rates(schedule="plateau", plateau_factor=0.5, plateau_patience=patience) == expected
    assert expected[-1] < 1.0


def test_the_constant_schedule_changes_nothing() -> None:
    assert set(learning_rates()) == {1.0}
