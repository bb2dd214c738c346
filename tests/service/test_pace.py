from __future__ import annotations

import pytest

from service.pace import Pace


def test_overhead_and_price_are_found_from_batches_of_several_sizes():
    pace = Pace()
    for cost in (1, 10, 100, 1000) * 5:
        pace.learn(cost, 0.002 + cost * 1e-5)
    assert pace.overhead == pytest.approx(0.002, rel=0.01)
    assert pace.per_cost == pytest.approx(1e-5, rel=0.01)
    assert pace.seconds(500) == pytest.approx(0.007, rel=0.01)


def test_batches_all_alike_forecast_themselves():
    pace = Pace()
    assert not pace.known
    for _ in range(5):
        pace.learn(100, 0.001)
    assert pace.known
    assert pace.seconds(100) == pytest.approx(0.001)
    assert pace.seconds(1000) == pytest.approx(0.01)


def test_larger_batches_that_happened_to_be_faster_do_not_make_work_free():
    pace = Pace()
    pace.learn(10, 0.005)
    pace.learn(100, 0.001)
    assert pace.per_cost > 0
    assert pace.overhead >= 0


def test_a_model_that_takes_its_time_for_one_text_as_for_many_is_known_to_be_slow():
    pace = Pace()
    for cost in (60, 1000, 60):
        pace.learn(cost, 0.003)
    assert pace.seconds(1) > 0.0025


def test_one_batch_that_was_held_up_does_not_turn_the_forecast():
    pace = Pace()
    for cost in (10, 100) * 20:
        pace.learn(cost, cost * 1e-5)
    pace.learn(100, 10.0)
    assert pace.seconds(100) < 0.0015


def test_a_model_that_has_become_slow_is_noticed_within_some_batches():
    pace = Pace()
    for cost in (10, 100) * 20:
        pace.learn(cost, cost * 1e-5)
    for cost in (10, 100) * 10:
        pace.learn(cost, cost * 1e-3)
    assert pace.seconds(100) > 0.005
