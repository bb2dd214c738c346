from __future__ import annotations

import pytest
import torch
from torch import nn

from textcnn.train.averaging import WeightAverage


def test_the_average_follows_the_weights_and_is_there_for_the_time_of_a_block() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = WeightAverage(network, 0.5)
    for step in (1, 2, 3):
        nn.init.constant_(network.weight, float(step))
        average.update()
    # decays of (1 + n) / (10 + n): 2/11, 3/12, 4/13
    expected = 0.0
    for step in (1, 2, 3):
        expected += (1 - (1 + step) / (10 + step)) * (step - expected)
    with average.applied():
        assert network.weight.item() == pytest.approx(expected)
    assert network.weight.item() == 3.0
    assert average.values["weight"].item() == pytest.approx(expected)


def test_none_is_kept_without_a_decay() -> None:
    network = nn.Linear(1, 1)
    average = WeightAverage(network, 0.0)
    average.update()
    before = network.weight.clone()
    with average.applied():
        assert torch.equal(network.weight, before)
    assert not average.values
