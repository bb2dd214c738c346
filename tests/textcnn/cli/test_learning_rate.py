from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Run

TINY = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.batch_size=8"]


def test_a_rate_is_suggested_with_the_curve_that_speaks_for_it(run: Run, here: Path) -> None:
    ran = run("learning-rate", "train.csv", *TINY, "--steps", "50")
    assert ran.code == 0
    assert "the loss falls fastest at " in ran.out
    assert "take it with train.learning_rate=" in ran.err
    report = json.loads(run("learning-rate", "train.csv", *TINY, "--steps", "50", "--json").out)
    assert report["suggested"] in report["rates"]
    assert len(report["rates"]) == len(report["losses"])


def test_a_range_upside_down_is_a_mistake(mistake: Callable[..., str], here: Path) -> None:
    message = mistake("learning-rate", "train.csv", "--lowest", "1", "--highest", "0.1")
    assert "--highest is 0.1, which is not above --lowest 1" in message
