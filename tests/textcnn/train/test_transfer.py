from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.artifact import write_artifact
from textcnn.choices import Rebuild
from textcnn.errors import ArtifactError, ConfigError
from textcnn.train.pretrain import pretrain_encoder

from ...conftest import TINY, tiny_corpus

TEXTS, LABELS = tiny_corpus(60)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "source" / "1"
    TextClassifier(TINY).fit(*tiny_corpus()).save(folder)
    return folder


def begun(source: Path, texts: list[str], labels: list[str], **train: Any) -> TextClassifier:
    """A model that has started and hardly moved since."""
    settings = {"start_from": str(source), "max_epochs": 1, "learning_rate": 1e-9, **train}
    return TextClassifier({"train": settings, "data": {"validation_fraction": 0}}).fit(texts, labels)


def test_words_and_blocks_are_those_of_the_source_whatever_the_vocabulary_and_the_labels(source: Path) -> None:
    old = TextClassifier.load(source).artifact_
    new = begun(source, ["a lamp from the courier", "my brand new invoice"] * 4, ["good", "bad"] * 4).artifact_
    assert new.config.model.blocks == old.config.model.blocks
    assert set(old.tokenizer.tokens) < set(new.tokenizer.tokens), "words that only the source knows stay known"
    for word in ("courier", "invoice", "broken"):
        np.testing.assert_allclose(
            new.weights["encoder.embedding.weight"][new.tokenizer.id_of(word)],
            old.weights["encoder.embedding.weight"][old.tokenizer.id_of(word)],
            atol=1e-6,
        )
    name = "encoder.blocks.0.weight"
    np.testing.assert_allclose(new.weights[name], old.weights[name], atol=1e-6)
    assert new.labels.names == ("bad", "good")


def test_characters_are_taken_over_one_by_one_whatever_the_alphabet(tmp_path: Path) -> None:
    embedding = {"dim": 8, "characters": {"num_filters": 4}}
    settings = {**TINY, "model": {**TINY["model"], "embedding": embedding}}
    TextClassifier(settings).fit(*tiny_corpus()).save(tmp_path / "s" / "1")
    old = TextClassifier.load(tmp_path / "s" / "1").artifact_
    new = begun(tmp_path / "s", ["été", "a ñandú"] * 4, ["good", "bad"] * 4).artifact_
    assert old.tokenizer.speller and new.tokenizer.speller
    ours, theirs = new.tokenizer.speller.characters, old.tokenizer.speller.characters
    assert set(theirs) < set(ours) and "ñ" in ours
    name = "encoder.characters.embedding.weight"
    for character in theirs[1:]:
        mine, yours = new.weights[name][ours.index(character)], old.weights[name][theirs.index(character)]
        np.testing.assert_allclose(mine, yours, atol=1e-6)
    name = "encoder.characters.blocks.0.weight"
    np.testing.assert_allclose(new.weights[name], old.weights[name], atol=1e-6)
    other = {"train": {"start_from": str(tmp_path / "s")}, "model": {"embedding": {"characters": {"num_filters": 5}}}}
    with pytest.raises(ConfigError, match="characters.num_filters is 5, but the model to start from has 4"):
        TextClassifier(other).fit(TEXTS, LABELS)


def test_a_start_helps_where_rows_are_few(source: Path) -> None:
    few = tiny_corpus(12, seed=5)
    warm = begun(source, *few, learning_rate=0.02, max_epochs=4)
    settings = {**TINY["train"], "max_epochs": 4}
    cold = TextClassifier({**TINY, "train": settings, "data": {"validation_fraction": 0}}).fit(*few)
    assert warm.score(TEXTS, LABELS) > cold.score(TEXTS, LABELS)


def test_a_source_that_is_older_than_an_option_has_its_default(source: Path, tmp_path: Path) -> None:
    old = TextClassifier.load(source).artifact_
    (block,) = old.config.model.blocks
    model = old.config.model.model_copy(update={"blocks": ({k: v for k, v in block.items() if k != "scale"},)})
    write_artifact(tmp_path / "old" / "1", replace(old, config=old.config.model_copy(update={"model": model})))
    assert begun(tmp_path / "old" / "1", TEXTS, LABELS).artifact_.config.model.blocks == (block,)


def test_networks_that_differ_are_refused_with_both_sides(source: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        TextClassifier({
            "train": {"start_from": str(source)},
            "model": {"embedding": {"dim": 9}, "blocks": [{"type": "qrnn"}]},
        }).fit(TEXTS, LABELS)  # fmt: skip
    assert "model.embedding.dim is 9, but the model to start from has 16" in str(caught.value)
    assert "model.blocks is [{'type': 'qrnn'" in str(caught.value)
    with pytest.raises(ConfigError, match=r"model\.blocks is \[\{'type': 'qrnn'"):
        TextClassifier({"train": {"start_from": str(source)}}, preset="qrnn").fit(TEXTS, LABELS)
    with pytest.raises(ArtifactError, match="there is no model at nowhere"):
        TextClassifier({"train": {"start_from": "nowhere"}}).fit(TEXTS, LABELS)


@pytest.mark.parametrize("rebuild", ["bag", "sequence"])
def test_an_encoder_is_pre_trained_without_labels_and_started_from(tmp_path: Path, rebuild: Rebuild) -> None:
    config = {**TINY, "train": {**TINY["train"], "max_epochs": 10}}
    artifact = pretrain_encoder(config, TEXTS, rebuild=rebuild)
    shares = [record["train_accuracy"] for record in artifact.metrics["history"]]
    assert shares[-1] > shares[0] and shares[-1] > 0.5, "it writes hidden words by the others"
    write_artifact(tmp_path / "e" / "1", artifact)
    card = (tmp_path / "e" / "1" / "README.md").read_text()
    assert "An encoder, pre-trained by textcnn on texts without labels" in card
    with pytest.raises(ArtifactError, match="e/1 is a pre-trained encoder without labels; make a classifier of it"):
        TextClassifier.load(tmp_path / "e" / "1")
    model = begun(tmp_path / "e" / "1", TEXTS, LABELS)
    name = "encoder.blocks.0.weight"
    np.testing.assert_allclose(model.artifact_.weights[name], artifact.weights[name], atol=1e-6)


@pytest.mark.parametrize("rebuild", ["bag", "sequence"])
def test_pre_training_repeats(rebuild: Rebuild) -> None:
    config = {**TINY, "train": {**TINY["train"], "max_epochs": 2}}
    first, again = (pretrain_encoder(config, TEXTS, rebuild=rebuild).weights for _ in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "kim_conv", "filter_widths": [3], "num_filters": 6, "stride": 2}],
        [{"type": "kim_conv", "filter_widths": [3], "num_filters": 6, "padding": "valid"}, {"type": "local_max"}],
        [{"type": "qrnn", "hidden_dim": 6, "bidirectional": True}],
        [{"type": "kim_conv", "filter_widths": [3], "num_filters": 6, "padding": "wide"}],
    ],
)
def test_blocks_that_shorten_or_lengthen_are_written_back_to_every_token(blocks: list[dict[str, Any]]) -> None:
    for rebuild, filters in product(get_args(Rebuild), (0, 3)):
        embedding = {"dim": 8, "characters": {"num_filters": filters}}
        config = {"model": {"embedding": embedding, "blocks": blocks}, "train": {"max_epochs": 1, "batch_size": 8}}
        artifact = pretrain_encoder(config, [*TEXTS[:20], "parcel", ""], rebuild=rebuild)
        assert artifact.metrics["pretraining_texts"] == 21


def test_texts_without_a_known_word_do_no_harm() -> None:
    config = {"text": {"min_count": 2}, "model": TINY["model"], "train": {"max_epochs": 1, "batch_size": 2}}
    artifact = pretrain_encoder(config, ["one two", "three four", "courier courier"])
    assert all(np.isfinite(value).all() for value in artifact.weights.values())


def test_a_rebuild_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="rebuild is 'words', expected bag or sequence"):
        pretrain_encoder(TINY, TEXTS, rebuild="words")


def test_words_of_the_same_texts_come_to_lie_together() -> None:
    """Which is what a start has from texts without labels: `invoice` says something about `refund`."""
    texts = ["invoice refund", "refund charged", "courier parcel", "parcel late", "invoice charged", "courier late"] * 8
    config = {**TINY, "train": {**TINY["train"], "max_epochs": 12, "batch_size": 8}}
    artifact = pretrain_encoder(config, texts)
    vectors = artifact.weights["encoder.embedding.weight"]

    def alike(left: str, right: str) -> float:
        a, b = (vectors[artifact.tokenizer.id_of(word)] for word in (left, right))
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert alike("invoice", "refund") > alike("invoice", "parcel")
    assert alike("courier", "late") > alike("courier", "charged")
