from __future__ import annotations

import pytest
import torch

from textcnn.train.objective import symmetric_divergence


def test_the_divergence_is_the_mean_of_both_directions() -> None:
    left, right = torch.randn(4, 3), torch.randn(4, 3)
    p, q = left.softmax(1), right.softmax(1)
    both = (p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)
    assert float(symmetric_divergence(left, right)) == pytest.approx(float(both.mean() / 2), abs=1e-6)
    assert float(symmetric_divergence(left, left)) == 0.0
