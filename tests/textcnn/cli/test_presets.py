from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .conftest import Run


def test_presets_are_listed_with_a_line_each(run: Run) -> None:
    ran = run("presets")
    assert ran.code == 0
    assert re.search(r"^dpcnn +Deep pyramid CNN", ran.out, re.MULTILINE)


def test_a_preset_is_shown_as_toml_that_train_takes(run: Run, here: Path) -> None:
    Path("mine.toml").write_text(run("presets", "dilated").out)
    ran = run("train", "train.csv", "--config", "mine.toml", "train.max_epochs=1", "model.embedding.dim=8")
    assert ran.code == 0
    assert '"dilation": 4' in Path("models/train/1/config.json").read_text()


def test_an_unknown_preset_names_the_nearest(mistake: Callable[..., str]) -> None:
    assert "unknown preset 'dpcn'; did you mean 'dpcnn'?" in mistake("presets", "dpcn")
