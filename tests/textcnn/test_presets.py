from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textcnn import TextClassifier
from textcnn.build import build_network, resolve
from textcnn.nn.ragged import Distinct
from textcnn.presets import DEFAULT_PRESET, about_preset, preset_names, preset_settings, preset_text
from textcnn.types import BREAK_ID, Characters, Spelling, TokenBatch

from ..conftest import tiny_corpus

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
    network = build_network(config, vocabulary=20, num_classes=3, matrix=matrix, alphabet=9).eval()
    texts = [[2, 3], [], [4, 5, 6, 7, 8, 9, 10]]
    if name == "two_towers":
        texts = [[*text, BREAK_ID, 3] for text in texts]
    batch = TokenBatch.from_lists(texts)
    none = TokenBatch.from_lists([])
    spelling = Spelling(20, none, Characters(TokenBatch.from_lists([[2, 8, 3]] * 20), none))
    ids = Distinct(20)(TokenBatch(batch.values, batch.offsets, spelling if config.model.embedding.spelled else None))
    assert torch.isfinite(network(ids)).all()


def test_the_default_is_the_papers_network_and_n_grams_beside_it_where_they_can_be() -> None:
    assert preset_settings("kim_rand") == {}
    assert preset_settings(DEFAULT_PRESET) == {"model": {"wide": {"ngrams": "auto", "characters": "auto"}}}
    assert preset_names()[:3] == [DEFAULT_PRESET, "kim_exact", "kim_multichannel"]
    assert resolve({}).model.wide.ngrams == 3
    assert resolve({"text": {"segments": "sentences"}}).model.wide.ngrams == 0
    assert resolve({"model": {"wide": {"ngrams": 1}}}).model.wide.ngrams == 1
    assert resolve({}, preset="kim_rand").model.wide.ngrams == 0


@pytest.mark.parametrize("name", sorted(set(preset_names()) - set(NEEDS_VECTORS)))
def test_a_preset_trains_saves_loads_and_explains(name: str, tmp_path: Path) -> None:
    texts, labels = tiny_corpus(30)
    if name == "two_towers":
        texts = [(text, text[::2]) for text in texts]
    settings = {"train": {"max_epochs": 1, "batch_size": 16}, "model": {"embedding": {"dim": 12}}}
    model = TextClassifier(settings, preset=name).fit(texts, labels)
    model.save(tmp_path / name / "1")
    again = TextClassifier.load(tmp_path / name / "1")
    some = [*texts[:3], *([("", ""), ("x", "")] if name == "two_towers" else ["", "x"])]
    np.testing.assert_array_equal(again.predict_proba(some), model.predict_proba(some))
    reference = TextClassifier.load(tmp_path / name / "1", engine="torch")
    np.testing.assert_allclose(reference.predict_proba(some), again.predict_proba(some), atol=1e-5)
    (explanation,) = again.explain(texts[:1])
    assert explanation.label in model.classes_
    assert explanation.method in ("ngrams", "occlusion")
    if explanation.method == "ngrams":
        assert explanation.ngrams
