from __future__ import annotations

import pytest
import torch

from textcnn.nn.dropout import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_the_share_that_it_says_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    y = dropout(torch.ones(301, 999), p, training=True)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=0.02)
    torch.testing.assert_close(y[y > 0], torch.full_like(y[y > 0], 1 / (1 - p)), rtol=1e-4, atol=0)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = dropout(torch.ones(100_000), 0.5, training=True) > 0
    both = (kept[::2] & kept[1::2]).float().mean().item()
    assert both == pytest.approx(0.25, abs=0.01)


def test_does_nothing_outside_training() -> None:
    x = torch.randn(5, 5)
    assert dropout(x, 0.5, training=False) is x


def test_the_same_seed_drops_the_same() -> None:
    torch.manual_seed(3)
    first = dropout(torch.ones(99), 0.3, training=True)
    torch.manual_seed(3)
    torch.testing.assert_close(dropout(torch.ones(99), 0.3, training=True), first)
