from __future__ import annotations

import pytest
import torch

from textcnn.config import TrainConfig
from textcnn.train.schedule import Schedule

LOSSES = [1.0, 0.9, 0.95, 0.92, 0.93, 0.91, 0.8, 0.85, 0.84]


STEPS = 4  # an epoch


def learning_rates(**settings: object) -> list[float]:
    """The rate of every step, over as many epochs as there are losses."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    config = TrainConfig(learning_rate=1.0, max_epochs=len(LOSSES), **settings)
    schedule = Schedule.from_config(config, steps_per_epoch=STEPS)
    rates = []
    for epoch, loss in enumerate(LOSSES):
        for step in range(STEPS):
            schedule.before_step(optimizer, epoch * STEPS + step)
            rates.append(optimizer.param_groups[0]["lr"])
        schedule.after_epoch(loss=loss)
    return rates


@pytest.mark.parametrize("patience", [1, 2])
def test_plateau_equals_torchs(patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=0.0)
    expected = []
    for loss in LOSSES:
        theirs.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    rates = learning_rates(schedule="plateau", plateau_factor=0.5, plateau_patience=patience)
    assert rates[STEPS::STEPS] == expected[:-1], "a rate holds from the epoch after"
    assert expected[-1] < 1.0


def test_the_constant_schedule_changes_nothing() -> None:
    assert set(learning_rates()) == {1.0}


def test_linear_and_cosine_fall_to_nothing_at_the_last_step() -> None:
    linear, cosine = learning_rates(schedule="linear"), learning_rates(schedule="cosine")
    steps = len(linear)
    assert linear == pytest.approx([1 - step / steps for step in range(steps)])
    assert cosine[0] == 1.0
    assert cosine[steps // 2] == pytest.approx(0.5)
    assert 0 < cosine[-1] < linear[-1]


def test_warm_up_rises_to_the_rate_and_the_rest_follows_behind_it() -> None:
    assert learning_rates(warmup_epochs=1.5)[:8] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1, 1])
    rates = learning_rates(schedule="linear", warmup_epochs=2)
    assert max(rates) == rates[7] == rates[8] == 1.0
    assert rates[9] < 1.0
