"""Several networks as one: its logits are the mean of theirs, in every engine."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from textcnn import registry
from textcnn.artifact import Artifact
from textcnn.build import build_network, resolve
from textcnn.config import RunConfig, TextConfig, TrainConfig
from textcnn.data.labels import LabelSet
from textcnn.errors import ArtifactError, ConfigError
from textcnn.inference.engine import EngineOptions
from textcnn.inference.ngram_table import NgramTableEngine
from textcnn.inference.select import select_engine
from textcnn.inference.torch_engine import TorchEngine
from textcnn.kernels.native import native
from textcnn.members import member_seeds, merge_weights, merged_model
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Floats, TokenBatch

from ..conftest import tiny_corpus

MODES = ["rand", "static", "non-static", "multichannel"]
LABELS = LabelSet(("a", "b", "c"))
TOKENIZER = Tokenizer.learn(tiny_corpus()[0], TextConfig())
HEADS: dict[str, dict[str, Any]] = {"multi_task": {"tasks": {"x": 2, "y": 1}}, "hierarchy": {"levels": [[0, 0, 1]]}}
TEXTS = [*tiny_corpus(20)[0], "", "parcel", "zyzzyva"]
BATCH = TOKENIZER.encode(TEXTS)


def settings(members: int, mode: str = "rand", head: str = "single_label", **block: Any) -> RunConfig:
    embedding = {"mode": mode, "dim": 12, **({} if mode == "rand" else {"vectors": "somewhere"})}
    spec = {"type": "kim_conv", "filter_widths": [2, 3], "num_filters": 20, **block}
    model = {"embedding": embedding, "blocks": [spec], "head": {"type": head, **HEADS.get(head, {})}}
    return resolve({"model": model, "train": {"members": members}})


def members_of(config: RunConfig, seeds: tuple[int, ...]) -> list[Artifact]:
    """Networks that nobody trained, with weights large enough that mistakes show; those from a file are the same."""
    alone = config.model_copy(update={"train": config.train.model_copy(update={"members": 1})})
    matrix = np.random.default_rng(0).normal(size=(len(TOKENIZER), 12))
    found = []
    for seed in seeds:
        torch.manual_seed(seed)
        network = build_network(
            alone, vocabulary=len(TOKENIZER), num_classes=3,
            matrix=None if config.model.embedding.mode == "rand" else matrix, training=True,
        )  # fmt: skip
        for param in network.parameters():
            torch.nn.init.normal_(param, std=0.3)
        weights = {name: value.numpy() for name, value in network.state_dict().items()}
        found.append(Artifact(alone, LABELS, TOKENIZER, weights, {}))
    return found


def together(config: RunConfig, members: list[Artifact]) -> Artifact:
    weights = merge_weights([member.weights for member in members], config.model)
    return replace(members[0], config=config, weights=weights)


def by_torch(artifact: Artifact, batch: TokenBatch = BATCH) -> Floats:
    return TorchEngine.from_artifact(artifact, EngineOptions()).logits(batch)


CASES: list[dict[str, Any]] = [
    *({"mode": mode, "head": head} for mode, head in product(MODES, registry.HEADS.names())),
    *({"mode": mode, "groups": 2, "num_filters": [3, 1], "padding": "wide"} for mode in MODES),
    {"filter_widths": [1, 5, 2], "num_filters": [7, 2, 20], "padding": "valid", "activation": "tanh"},
    {"mode": "static", "filter_widths": [1, 4], "num_filters": [7, 2], "activation": "elu"},
]


@pytest.mark.parametrize(
    "kernels", [pytest.param(True, marks=pytest.mark.skipif(native() is None, reason="not built")), False]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_logits_are_the_mean_of_the_members_in_every_engine(
    case: dict[str, Any], kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(3, **case)
    members = members_of(config, (1, 2, 3))
    expected = np.mean([by_torch(member) for member in members], axis=0)
    artifact = together(config, members)
    np.testing.assert_allclose(by_torch(artifact), expected, atol=2e-5)
    if not kernels:
        for module in ("kernels.table_gather", "kernels.merge_windows", "kernels.word_parts", "inference.ngram_table"):
            monkeypatch.setattr(f"textcnn.{module}.native", lambda: None)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    np.testing.assert_allclose(engine.logits(BATCH), expected, atol=2e-5)
    for row, text in enumerate(TEXTS[:3]):
        np.testing.assert_array_equal(engine.logits(TOKENIZER.encode([text]))[0], engine.logits(BATCH)[row])
    # what n-grams add is the whole logit
    logits, largest, evidence = engine.evidence(BATCH)
    sums = np.array([part.sum() for part in np.split(evidence.contributions, evidence.offsets[1:-1])])
    np.testing.assert_allclose(engine.head_bias[largest] + sums, logits.max(axis=1), atol=2e-5)


@pytest.mark.parametrize("block", [{"stride": 2, "dilation": 2, "padding": "valid"}, {"activation": "gelu"}], ids=str)
@pytest.mark.parametrize("mode", ["rand", "static"])
def test_what_no_table_can_stand_for_is_the_mean_in_torch(mode: str, block: dict[str, Any]) -> None:
    config = settings(2, mode, **block)
    members = members_of(config, (1, 2))
    artifact = together(config, members)
    assert select_engine(artifact).name == "torch"
    np.testing.assert_allclose(by_torch(artifact), np.mean([by_torch(one) for one in members], axis=0), atol=2e-5)


@pytest.mark.parametrize("mode", MODES)
def test_members_that_are_the_same_answer_as_one_of_them(mode: str) -> None:
    config = settings(2, mode)
    members = members_of(config, (1, 1))
    np.testing.assert_allclose(by_torch(together(config, members)), by_torch(members[0]), atol=1e-6)


def test_vectors_that_are_the_same_stand_there_once_and_a_copy_beside_them_is_added() -> None:
    found = {}
    for mode in MODES:
        config = settings(3, mode)
        artifact = together(config, members_of(config, (1, 2, 3)))
        found[mode] = {name: value.shape for name, value in artifact.weights.items() if "embedding" in name}
    words = len(TOKENIZER)
    assert found == {
        "rand": {"encoder.embedding.weight": (words, 36)},
        "static": {"encoder.embedding.fixed": (words, 12)},
        "non-static": {"encoder.embedding.weight": (words, 36)},
        "multichannel": {"encoder.embedding.weight": (words, 36)},
    }


def test_one_member_is_the_model_itself() -> None:
    config = resolve({})
    assert config.train.members == 1
    assert merged_model(config) is config.model


def test_the_first_seed_is_that_of_the_run_and_the_others_are_of_no_other_run() -> None:
    seeds = {seed: member_seeds(TrainConfig(seed=seed, members=5)) for seed in (0, 1, 2, 2**63 - 1)}
    assert all(found[0] == seed and len(found) == 5 for seed, found in seeds.items())
    assert len({seed for found in seeds.values() for seed in found}) == 20
    assert all(0 <= seed < 2**63 for found in seeds.values() for seed in found)
    assert member_seeds(TrainConfig(seed=1, members=2)) == seeds[1][:2], "more members do not change the first ones"


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({"blocks": [{"type": "qrnn"}]}, "one kim_conv block, and model.blocks has qrnn"),
        ({"blocks": [{"type": "kim_conv"}] * 2}, "one kim_conv block, and model.blocks has kim_conv, kim_conv"),
        ({"blocks": []}, "one kim_conv block, and model.blocks has none"),
        ({"pooling": {"type": "average"}}, "model.pooling max_over_time, not average"),
        ({"head": {"hidden_dim": 5}}, "set model.head.hidden_dim to 0, not 5"),
        ({"auxiliary": {"blocks": [0]}}, "leave out model.auxiliary.blocks"),
        ({"embedding": {"characters": {"num_filters": 5}}}, "set model.embedding.characters.num_filters to 0"),
    ],
)
def test_networks_that_cannot_answer_as_one_are_told_before_training(model: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=f"train.members: several networks answer as one only with .*{fault}"):
        resolve({"model": model, "train": {"members": 2}})
    resolve({"model": model})


def test_members_of_joined_segments_are_told() -> None:
    with pytest.raises(ConfigError, match="set text.segments to 'none'"):
        resolve({"text": {"segments": "columns"}, "train": {"members": 2}})


@pytest.mark.parametrize("members", [0, 101, "three", 1.5])
def test_a_number_of_members_that_is_none_is_told(members: Any) -> None:
    with pytest.raises(ConfigError, match=r"train\.members"):
        resolve({"train": {"members": members}})


@pytest.mark.parametrize("engine", ["ngram_table", "torch"])
def test_weights_of_another_number_of_members_are_refused(engine: str) -> None:
    config = settings(3)
    artifact = together(config, members_of(config, (1, 2)))
    with pytest.raises(ArtifactError, match="do not fit its configuration"):
        select_engine(artifact, engine=engine)
