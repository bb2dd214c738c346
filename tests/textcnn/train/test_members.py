from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textcnn import TextClassifier
from textcnn.build import resolve
from textcnn.errors import ConfigError
from textcnn.members import member_seeds
from textcnn.registry import HEADS
from textcnn.train.checkpoint import CHECKPOINT
from textcnn.train.learning_rate import learning_rates
from textcnn.train.pretrain import pretrain_encoder
from textcnn.train.progress import Progress

from ...conftest import TINY, tiny_corpus
from .test_checkpoint import killed_after, same_bits, without_times

TEXTS, TOPICS = tiny_corpus()
STEPS = 11  # an epoch: 81 texts in batches of 8
TRAIN = {**TINY["train"], "max_epochs": 2, "checkpoint_seconds": 0.0}
OWN = "encoder.embedding.weight"


def fit(members: int = 2, folder: Path | None = None, *, resume: bool = False, **options: Any) -> TextClassifier:
    progress = options.pop("progress", None) or Progress(quiet=True, folder=folder)
    config = {**TINY, "train": {**TRAIN, "members": members, **options}}
    return TextClassifier(config, preset="kim_rand").fit(
        TEXTS, TOPICS, run_folder=folder, progress=progress, resume=resume
    )


@pytest.fixture(scope="module")
def two() -> TextClassifier:
    return fit()


def test_each_member_is_the_network_that_a_run_with_its_seed_would_give(two: TextClassifier) -> None:
    merged = two.artifact_.weights
    seeds = member_seeds(two.artifact_.config.train)
    for number, seed in enumerate(seeds):
        alone = fit(1, seed=seed)
        own = alone.artifact_.weights
        columns, filters = slice(16 * number, 16 * number + 16), slice(16 * number, 16 * number + 16)
        np.testing.assert_array_equal(merged[OWN][:, columns], own[OWN])
        np.testing.assert_array_equal(merged["head.linear.weight"][:, filters], own["head.linear.weight"] / 2)
        figures = two.metrics_["members"][number]
        assert figures["best_epoch"] == alone.metrics_["best_epoch"]
        assert figures["validation"]["loss"] == pytest.approx(alone.metrics_["validation"]["loss"])
    assert not np.array_equal(merged[OWN][:, :16], merged[OWN][:, 16:])


def test_the_figures_are_those_of_all_and_of_each(two: TextClassifier) -> None:
    metrics = two.metrics_
    assert [(row["member"], row["epoch"]) for row in metrics["history"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len(metrics["members"]) == 2 and "best_epoch" not in metrics
    assert metrics["training_seconds"] == pytest.approx(sum(one["seconds"] for one in metrics["members"]), abs=0.01)
    assert not metrics["interrupted"]
    assert two.artifact_.config.train.members == 2
    assert "members" not in fit(1).metrics_


@pytest.mark.parametrize("head", HEADS.names())
def test_every_linear_head_learns_and_answers_the_same_when_loaded(head: str, tmp_path: Path) -> None:
    labels: Any = {
        "single_label": TOPICS,
        "ordinal": TOPICS,
        "hierarchy": [f"shop/{topic}" if topic != "repair" else "repair" for topic in TOPICS],
        "multi_label": [(topic, "shop") if topic != "repair" else (topic,) for topic in TOPICS],
        "multi_task": {"topic": TOPICS, "shop": ["no" if topic == "repair" else "yes" for topic in TOPICS]},
    }[head]
    config = {**TINY, "model": {**TINY["model"], "head": {"type": head}}, "train": {**TINY["train"], "members": 2}}
    model = TextClassifier(config).fit(TEXTS, labels)
    # the topics have no order
    assert model.evaluate(TEXTS, labels)["accuracy"] > (0.6 if head == "ordinal" else 0.9)
    model.save(tmp_path / "m" / "1")
    again = TextClassifier.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert model.explain(TEXTS[:1])[0].method == "ngrams"
    assert "members: 2 such networks" in (tmp_path / "m" / "1" / "README.md").read_text()
    assert len(again.filters()) == 2 * 16


# in the first member, at its end, right where the second begins, in it, at its end
@pytest.mark.parametrize("saves", [1, STEPS + 3, 2 * (STEPS + 1), 2 * (STEPS + 1) + 1, 3 * STEPS, 4 * (STEPS + 1) + 1])
def test_a_resumed_run_ends_with_the_same_bits(
    two: TextClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    with killed_after(saves, monkeypatch):
        fit(folder=tmp_path)
    torch.manual_seed(12345)
    trained: list[int] = []
    resumed = fit(
        folder=tmp_path, resume=True, progress=Watched(tmp_path, lambda member, epoch: trained.append(member))
    )
    same_bits(resumed, two)
    assert set(trained) <= ({1, 2} if saves <= 2 * (STEPS + 1) else {2}), "what was finished is not trained again"
    assert without_times(resumed.metrics_["history"]) == without_times(two.metrics_["history"])
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert without_times(log) == without_times(two.metrics_["history"])


class Watched(Progress):
    """Calls `seen` with member and epoch at the first step of each epoch."""

    def __init__(self, folder: Path | None, seen: Callable[[int, int], None]) -> None:
        super().__init__(stream=io.StringIO(), folder=folder)
        self.said: list[str] = []
        self._seen = seen

    def step(self, epoch: int, step: int, **figures: Any) -> None:
        self._seen(self._member, epoch)

    def note(self, line: str) -> None:
        self.said.append(line)


def ctrl_c_at(member: int, epoch: int) -> Callable[[int, int], None]:
    return lambda *at: signal.raise_signal(signal.SIGINT) if at == (member, epoch) else None


@pytest.mark.parametrize(
    ("at", "left", "epochs"), [((1, 1), 1, 0), ((1, 2), 1, 1), ((2, 1), 1, 2), ((2, 2), 2, 3), ((3, 1), 2, 4)]
)
def test_ctrl_c_keeps_the_members_that_there_are_and_the_run_can_go_on(
    tmp_path: Path, at: tuple[int, int], left: int, epochs: int
) -> None:
    watched = Watched(tmp_path, ctrl_c_at(*at))
    model = fit(3, tmp_path, progress=watched)
    assert model.metrics_["interrupted"]
    assert model.artifact_.config.train.members == left
    assert len(model.metrics_["history"]) == epochs
    assert f"the model is made of {left} of 3 members" in watched.said
    model.save(tmp_path / "m" / "1")
    assert TextClassifier.load(tmp_path / "m").predict(TEXTS) == model.predict(TEXTS)
    assert (tmp_path / CHECKPOINT).exists()
    same_bits(fit(3, tmp_path, resume=True), fit(3))


def test_a_ctrl_c_while_a_member_is_measured_ends_the_run_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from textcnn.train import members

    def score_and_press(*arguments: Any) -> dict[str, float]:
        signal.raise_signal(signal.SIGINT)
        return {"loss": 1.0, "accuracy": 0.5}

    monkeypatch.setattr(members, "score", score_and_press)
    model = fit(3)
    assert model.metrics_["interrupted"] and model.artifact_.config.train.members == 1


def test_a_person_sees_which_member_is_trained_and_the_time_left_for_all() -> None:
    stream = io.StringIO()
    fit(3, progress=Progress(stream=stream), max_epochs=1)
    said = stream.getvalue()
    assert "3 members of " in said
    assert [line[:20] for line in said.splitlines() if "epoch" in line] == [
        f"member {n}/3, epoch 1/1"[:20] for n in (1, 2, 3)
    ]


def test_the_time_left_counts_the_members_that_are_still_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("textcnn.train.progress.time.perf_counter", lambda: clock[0])
    stream = io.StringIO()
    progress = Progress(stream=stream).member(2, 3)
    progress.begin(steps=100, epochs=4)
    clock[0] = 60.0
    progress.step(1, 100, loss=0.5, accuracy=0.75, texts_per_second=1.0)
    progress.epoch({"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.75, "texts_per_second": 1.0}, best=False)
    first, second = stream.getvalue().splitlines()
    assert first.startswith("member 2/3, epoch 1/4, step 100 of 100") and first.endswith("at most 420 s left")
    assert second.endswith("at most 420 s left")


def test_without_validation_texts_the_last_epochs_are_merged() -> None:
    config = {**TINY, "train": {**TRAIN, "members": 2}, "data": {"validation_fraction": 0}}
    metrics = TextClassifier(config).fit(TEXTS, TOPICS).metrics_
    assert metrics["validation"] is None
    assert [(one["best_epoch"], one["validation"]) for one in metrics["members"]] == [(2, None)] * 2


def test_several_members_go_on_as_the_one_network_that_they_are(two: TextClassifier, tmp_path: Path) -> None:
    two.save(tmp_path / "two" / "1")
    settings = {"start_from": str(tmp_path / "two"), "max_epochs": 1, "learning_rate": 1e-9}
    model = TextClassifier({"train": settings}).fit(TEXTS, TOPICS)
    config = model.artifact_.config
    assert (config.train.members, config.model.embedding.dim, config.model.blocks[0]["groups"]) == (1, 32, 2)
    old, new = two.artifact_, model.artifact_
    word = "courier"
    np.testing.assert_allclose(
        new.weights[OWN][new.tokenizer.id_of(word)], old.weights[OWN][old.tokenizer.id_of(word)], atol=1e-6
    )
    np.testing.assert_allclose(
        new.weights["encoder.blocks.0.weight"], old.weights["encoder.blocks.0.weight"], atol=1e-6
    )
    assert TextClassifier({"train": {**settings, "learning_rate": 0.02}}).fit(TEXTS, TOPICS).score(TEXTS, TOPICS) > 0.9
    # and several of these again
    again = TextClassifier({"train": {**settings, "members": 2}}).fit(TEXTS, TOPICS)
    assert again.artifact_.weights[OWN].shape[1] == 64
    assert again.engine_name == two.engine_name


def test_the_settings_of_a_model_train_the_same_model_again(two: TextClassifier) -> None:
    same_bits(TextClassifier(two.artifact_.config).fit(TEXTS, TOPICS), two)


def test_rates_are_tried_on_one_member_and_pre_training_has_none() -> None:
    assert learning_rates(resolve({**TINY, "train": {"members": 2}}), TEXTS, TOPICS, steps=10)
    with pytest.raises(ConfigError, match="pre-training makes one encoder, and train.members is 2"):
        pretrain_encoder({**TINY, "train": {"members": 2}}, TEXTS)
