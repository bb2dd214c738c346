from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from textcnn import TextClassifier
from textcnn.build import build_network, resolve
from textcnn.config import TrainConfig
from textcnn.data.batching import epoch_batches
from textcnn.nn.model import Network
from textcnn.train.loop import Examples, TrainingResult, fit_network
from textcnn.train.progress import Progress
from textcnn.types import TokenBatch

from ...conftest import TINY, tiny_corpus

Hook = Callable[[int, int], None]


def examples(seed: int, *, noise: float = 0.0) -> Examples:
    """Texts of random tokens; the class is told by token 2 or 3 among them, but for a share of noise."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, 60)
    texts = [[*generator.integers(4, 12, generator.integers(1, 8)), 2 + target] for target in targets]
    return Examples(TokenBatch.from_lists(texts), np.where(generator.random(60) < noise, 1 - targets, targets))


class Watched(Progress):
    """Calls `hook` with the epoch and how many of its steps are done, before each report."""

    def __init__(self, hook: Hook) -> None:
        super().__init__(quiet=True)
        self.hook = hook

    def step(self, epoch: int, step: int, **figures: float) -> None:
        self.hook(epoch, step)

    def note(self, line: str) -> None:
        self.said = line


def train(
    hook: Hook = lambda epoch, step: None, *, validate: bool = True, noise: float = 0.0, **settings: Any
) -> tuple[Network, TrainingResult, Watched]:
    torch.manual_seed(0)
    network = build_network(resolve(TINY), vocabulary=12, num_classes=2)
    config = TrainConfig(**{"max_epochs": 4, "batch_size": 8, "learning_rate": 0.02, **settings})
    progress = Watched(hook)
    validation = examples(1, noise=noise) if validate else None
    result = fit_network(network, examples(0, noise=noise), validation, config, progress=progress)
    return network, result, progress


def same_weights(left: Network, right: Network) -> bool:
    return all(torch.equal(value, right.state_dict()[name]) for name, value in left.state_dict().items())


OPTIONS: list[dict[str, Any]] = [
    {"clip_norm": 0.5},
    {"l2": 0.01},
    {"precision": "bfloat16"},
    {"monitor": "loss"},
    {"r_drop": 0.5},
    {"ema": 0.9},
    {"schedule": "linear", "warmup_epochs": 0.5},
    {"schedule": "cosine"},
    *({"loss": {"type": name}} for name in ("hinge", "focal", "binary_cross_entropy", "squared_error")),
    {"loss": {"type": "cross_entropy", "label_smoothing": 0.1}},
    {"mixup": 0.2},
    {"augmentations": [{"type": "word_dropout"}, {"type": "deletion"}, {"type": "swap"}]},
]


def interrupt_at(epoch: int, step: int = 1) -> Hook:
    def hook(at_epoch: int, at_step: int) -> None:
        if (at_epoch, at_step) == (epoch, step):
            raise KeyboardInterrupt

    return hook


@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw"},
        {"optimizer": "adadelta", "learning_rate": 1.0},
        {"optimizer": "sgd", "learning_rate": 0.1},
    ],
)
def test_it_learns(optimizer: dict[str, Any]) -> None:
    _, result, _ = train(**optimizer, max_epochs=12)
    assert max(record["validation_accuracy"] for record in result.history) >= 0.95
    assert not result.interrupted


@pytest.mark.parametrize("settings", OPTIONS)
def test_it_learns_with_every_option(settings: dict[str, Any]) -> None:
    _, result, _ = train(**settings, max_epochs=12)
    assert max(record["validation_accuracy"] for record in result.history) >= 0.9


@pytest.mark.parametrize("settings", [option for option in OPTIONS if "monitor" not in option], ids=str)
def test_every_option_changes_what_is_learned(settings: dict[str, Any]) -> None:
    with_it, _, _ = train(**{**settings, "max_epochs": 2})
    without, _, _ = train(max_epochs=2)
    assert not same_weights(with_it, without)


def test_the_learning_rate_falls_when_the_validation_loss_does_not() -> None:
    _, result, _ = train(schedule="plateau", plateau_patience=1, max_epochs=12, patience=0, noise=0.5)
    rates = [record["learning_rate"] for record in result.history]
    assert rates[0] == 0.02
    assert rates[-1] < 0.02
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(("pooling", "by_length"), [("max_over_time", False), ("average", True)])
def test_only_networks_that_pad_take_texts_of_like_length_together(
    pooling: str, by_length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options["by_length"])
        return epoch_batches(*arguments, **options)

    monkeypatch.setattr("textcnn.train.loop.epoch_batches", watched)
    config = resolve({**TINY, "model": {**TINY["model"], "pooling": {"type": pooling}}})
    network = build_network(config, vocabulary=12, num_classes=2)
    fit_network(network, examples(0), None, TrainConfig(max_epochs=1, batch_size=8), progress=Progress(quiet=True))
    assert seen == [by_length]


def test_each_epoch_leaves_a_record() -> None:
    _, result, _ = train(max_epochs=3, schedule="plateau")
    assert [record["epoch"] for record in result.history] == [1, 2, 3]
    assert set(result.history[0]) == {
        *("epoch", "train_loss", "train_accuracy", "learning_rate", "seconds", "texts_per_second"),
        *("validation_loss", "validation_accuracy"),
    }
    assert result.history[0]["train_loss"] == pytest.approx(0.7, abs=0.2)


def test_the_network_ends_with_the_weights_of_the_best_epoch() -> None:
    network, result, _ = train(max_epochs=20, patience=2, noise=0.3)
    accuracies = [record["validation_accuracy"] for record in result.history]
    assert accuracies[result.best_epoch - 1] == max(accuracies)
    assert result.best_epoch == len(result.history) - 2, "early stopping did not stop"
    again, _, _ = train(max_epochs=result.best_epoch, noise=0.3)
    assert same_weights(network, again)


def test_without_validation_the_last_epoch_is_the_best() -> None:
    _, result, _ = train(validate=False, max_epochs=3, patience=1)
    assert (len(result.history), result.best_epoch) == (3, 3)
    assert "validation_loss" not in result.history[0]


def test_an_interruption_keeps_the_best_epoch_so_far() -> None:
    network, result, progress = train(interrupt_at(epoch=3))
    assert result.interrupted
    assert len(result.history) == 2
    uninterrupted, expected, _ = train(max_epochs=2)
    assert same_weights(network, uninterrupted)
    assert progress.said == f"interrupted: keeping the weights of epoch {expected.best_epoch}"


def test_an_interruption_in_the_first_epoch_keeps_what_there_is() -> None:
    untrained = build_network(resolve(TINY), vocabulary=12, num_classes=2)
    network, result, progress = train(interrupt_at(epoch=1))
    assert result.interrupted
    assert result.history == ()
    assert not same_weights(network, untrained)
    assert progress.said == "interrupted: keeping the weights of the unfinished epoch 1"


def test_class_weights_count_in_the_loss() -> None:
    def first_loss(weights: np.ndarray | None) -> float:
        torch.manual_seed(0)
        network = build_network(resolve(TINY), vocabulary=12, num_classes=2)
        config = TrainConfig(max_epochs=1, learning_rate=1e-9)
        fit_network(network, examples(0), None, config, class_weights=weights, progress=Progress(quiet=True))
        return network.head.linear.bias[0].item()

    even, tilted = first_loss(None), first_loss(np.array([100.0, 0.01], np.float32))
    assert tilted > 0 and tilted != even


def test_the_threads_of_the_configuration_are_used() -> None:
    before = torch.get_num_threads()
    try:
        TextClassifier({**TINY, "train": {"max_epochs": 1, "threads": 1}}).fit(*tiny_corpus(30))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
