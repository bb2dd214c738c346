from __future__ import annotations

import pytest

from textcnn.build import resolve
from textcnn.errors import DataError
from textcnn.train.learning_rate import learning_rates, suggested_rate

from ...conftest import TINY, tiny_corpus


def test_the_rate_rises_until_the_loss_runs_away_and_the_steepest_fall_is_suggested() -> None:
    found = learning_rates(resolve(TINY), *tiny_corpus(), lowest=1e-4, highest=1e3, steps=60)
    rates = [rate for rate, _ in found]
    assert rates[0] == pytest.approx(1e-4)
    assert rates == sorted(rates)
    assert len(found) < 60, "a rate of 1000 must blow up"
    assert 1e-3 < suggested_rate(found) < 1.0


def test_the_steepest_fall_is_by_factor_and_before_the_least_loss() -> None:
    found = [(0.01, 1.0), (0.1, 0.9), (1.0, 0.4), (10.0, 0.3), (100.0, 2.0)]
    assert suggested_rate(found) in (0.1, 1.0)
    with pytest.raises(DataError, match="falls at no learning rate"):
        suggested_rate([(0.01, 1.0), (0.1, 1.1), (1.0, 1.2)])
