from __future__ import annotations

import tomllib
from typing import Any

import pytest
import torch

from textcnn.build import build_network, resolve
from textcnn.nn.ragged import Distinct
from textcnn.presets import DEFAULT_PRESET, about_preset, preset_names, preset_settings, preset_text
from textcnn.types import TokenBatch

NEEDS_VECTORS = {"kim_static": "static", "kim_non_static": "non-static", "kim_multichannel": "multichannel"}


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_what_it_is_and_makes_a_network_that_runs(name: str) -> None:
    about = about_preset(name)
    assert about.endswith(".") and len(about) < 105
    assert tomllib.loads(preset_text(name)) == preset_settings(name)
    embedding: dict[str, Any] = {"vectors": "v.bin"} if name in NEEDS_VECTORS else {}
    config = resolve({"model": {"embedding": embedding}}, preset=name)
    assert config.model.embedding.mode == NEEDS_VECTORS.get(name, "rand")
    matrix = torch.randn(20, 300).numpy() if embedding else None
    network = build_network(config, vocabulary=20, num_classes=3, matrix=matrix).eval()
    ids = Distinct(20)(TokenBatch.from_lists([[2, 3], [], [4, 5, 6, 7, 8, 9, 10]]))
    assert torch.isfinite(network(ids)).all()


def test_the_default_changes_nothing() -> None:
    assert preset_settings(DEFAULT_PRESET) == {}
    assert preset_names()[:2] == ["kim_multichannel", "kim_non_static"]
