from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from textcnn import TextClassifier
from textcnn.errors import CheckpointError
from textcnn.train.checkpoint import CHECKPOINT, Checkpoint
from textcnn.train.progress import Progress

from ...conftest import TINY, tiny_corpus

STEPS = 11  # an epoch: 81 texts in batches of 8
ADAM = {"train": {**TINY["train"], "max_epochs": 2, "checkpoint_seconds": 0.0, "schedule": "plateau"}}
ADADELTA = {"train": {**ADAM["train"], "optimizer": "adadelta", "learning_rate": 1.0, "clip_norm": 1.0}}

MORE: dict[str, Any] = {
    "model": {
        "embedding": {"dim": 16, "characters": {"num_filters": 3, "hidden_words": 0.3}},
        "blocks": [*TINY["model"]["blocks"], {"type": "batch_norm"}, {"type": "qrnn", "hidden_dim": 4, "zoneout": 0.2}],
        "auxiliary": {"blocks": [0], "fade_epochs": 2},
    },
    "train": {
        **ADAM["train"], "optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine", "warmup_epochs": 0.5,
        "ema": 0.9, "r_drop": 0.5, "augmentations": [{"type": "word_dropout"}, {"type": "swap"}],
    },
}  # fmt: skip
MIXED = {"train": {**ADAM["train"], "optimizer": "adamw", "mixup": 0.4}}


class Killed(BaseException):
    pass


def fit(folder: Path | None, changes: dict[str, Any], *, resume: bool = False) -> TextClassifier:
    progress = Progress(quiet=True, folder=folder)
    return TextClassifier({**TINY, **changes}).fit(*tiny_corpus(), run_folder=folder, progress=progress, resume=resume)


@contextmanager
def killed_after(saves: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run within is killed right after it has written its checkpoint for the `saves`-th time."""
    save, count = Checkpoint.save, 0

    def save_and_die(self: Checkpoint, *arguments: Any) -> None:
        nonlocal count
        save(self, *arguments)
        count += 1
        if count == saves:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "save", save_and_die)
        yield


def fit_until(saves: int, folder: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_after(saves, monkeypatch):
        fit(folder, changes)


def same_bits(left: TextClassifier, right: TextClassifier) -> None:
    ours, theirs = left.artifact_.weights, right.artifact_.weights
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        np.testing.assert_array_equal(value.view(np.uint32), theirs[name].view(np.uint32), err_msg=name)


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if "second" not in key} for record in history]


@pytest.fixture(scope="module")
def whole() -> dict[str, TextClassifier]:
    """Runs that were never stopped."""
    settings = {"adam": ADAM, "adadelta": ADADELTA, "more": MORE, "mixed": MIXED}
    return {name: fit(None, changes) for name, changes in settings.items()}


# after each of the 11 steps of an epoch, then once more behind its validation
@pytest.mark.parametrize(
    ("name", "changes", "saves"),
    [("adam", ADAM, saves) for saves in (1, STEPS, STEPS + 1, STEPS + 6, 2 * (STEPS + 1))]
    + [("adadelta", ADADELTA, STEPS + 6), ("more", MORE, 5), ("more", MORE, STEPS + 6), ("mixed", MIXED, STEPS + 6)],
)
def test_a_resumed_run_ends_with_the_same_bits(
    whole: dict[str, TextClassifier], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, changes: dict[str, Any], saves: int,
) -> None:  # fmt: skip
    fit_until(saves, tmp_path, changes, monkeypatch)
    torch.manual_seed(12345)  # the generator must come from the checkpoint
    resumed = fit(tmp_path, changes, resume=True)
    same_bits(resumed, whole[name])
    expected = without_times(whole[name].metrics_["history"])
    assert without_times(resumed.metrics_["history"]) == expected
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert without_times(log) == expected


# Dies when the next checkpoint is written beside the old one, but not yet in its place.
DIES_WHILE_SAVING = """
import json, os, signal, sys
from textcnn import TextClassifier

replace, count = os.replace, 0

def replace_or_die(source, target):
    global count
    count += 1
    if count == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = replace_or_die
given = json.load(sys.stdin)
TextClassifier(given["config"]).fit(given["texts"], given["labels"], run_folder=given["folder"])
"""


def test_a_run_killed_with_sigkill_resumes_to_the_same_bits(whole: dict[str, TextClassifier], tmp_path: Path) -> None:
    texts, labels = tiny_corpus()
    given = json.dumps({"config": {**TINY, **ADAM}, "texts": texts, "labels": labels, "folder": str(tmp_path)})
    command = [sys.executable, "-c", DIES_WHILE_SAVING]
    killed = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "checkpoint.writing"]
    same_bits(fit(tmp_path, ADAM, resume=True), whole["adam"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "metrics.jsonl"]


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {**ADAM["train"], "seed": 2}},
        {**ADAM, "data": {"validation_fraction": 0.2}},
        {**ADAM, "text": {"lowercase": False}},
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    fit_until(3, tmp_path, ADAM, monkeypatch)
    with pytest.raises(CheckpointError, match="belongs to a run with other data or another configuration"):
        fit(tmp_path, changes, resume=True)


def test_other_texts_make_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_until(3, tmp_path, ADAM, monkeypatch)
    texts, labels = tiny_corpus()
    with pytest.raises(CheckpointError, match="belongs to a run with other data"):
        TextClassifier({**TINY, **ADAM}).fit([*texts[:-1], "another"], labels, run_folder=tmp_path, resume=True)


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    fit_until(3, tmp_path, ADAM, monkeypatch)
    path = tmp_path / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=f"cannot resume from .*{CHECKPOINT}"):
        fit(tmp_path, ADAM, resume=True)


def test_a_tensor_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match="cannot resume"):
        fit(tmp_path, ADAM, resume=True)


def test_resuming_without_a_checkpoint_starts_from_the_start(whole: dict[str, TextClassifier], tmp_path: Path) -> None:
    same_bits(fit(tmp_path, ADAM, resume=True), whole["adam"])


def test_a_run_that_does_not_resume_forgets_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_until(3, tmp_path, ADAM, monkeypatch)
    fit(tmp_path, {"train": {**TINY["train"], "max_epochs": 1, "checkpoint_seconds": 1000.0}})
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(
    whole: dict[str, TextClassifier], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    same_bits(fit(tmp_path, ADAM), whole["adam"])


def test_the_file_is_replaced_in_one_step_and_holds_the_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_until(STEPS + 2, tmp_path, ADADELTA, monkeypatch)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "metrics.jsonl"]
    parts = {name.split(".")[0] for name in load_file(tmp_path / CHECKPOINT)}
    assert parts == {"network", "best", "optimizer", "generator"}
