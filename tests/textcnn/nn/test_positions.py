"""Poolings that take numbers from single positions say from which."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from textcnn.registry import POOLINGS

MAX: dict[str, Any] = {"type": "max_over_time"}


@pytest.mark.parametrize(
    "spec",
    [
        MAX,
        {"type": "k_max", "k": 4},
        {"type": "adaptive_max", "chunks": 3},
        {"type": "concatenate", "poolings": [MAX, {"type": "k_max", "k": 2}]},
    ],
    ids=str,
)
def test_what_stands_at_the_positions_is_what_was_pooled(spec: dict[str, Any]) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 6, 5)
    mask = torch.arange(6)[None] < torch.tensor([6, 3, 1, 0])[:, None]
    pooling = POOLINGS.build(spec, in_dim=5)
    at = pooling.positions(x, mask)
    pooled = pooling(x, mask)
    assert at.shape == pooled.shape
    channel = torch.arange(at.shape[1]) % 5
    there = x[torch.arange(4)[:, None], at.clamp(min=0), channel]
    torch.testing.assert_close(torch.where(at >= 0, there, 0.0), pooled)
    assert (at < mask.sum(1)[:, None]).all()
    assert (at[3] == -1).all()


@pytest.mark.parametrize("other", [{"type": "average"}, {"type": "concatenate", "poolings": [{"type": "average"}]}])
def test_poolings_that_mix_positions_say_so(other: dict[str, Any]) -> None:
    x, mask = torch.randn(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
    assert not hasattr(POOLINGS.build({"type": "average"}, in_dim=2), "positions")
    assert POOLINGS.build({"type": "concatenate", "poolings": [MAX, other]}, in_dim=2).positions(x, mask) is None
