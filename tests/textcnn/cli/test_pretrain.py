"""Pre-training and vectors from the command line, then training from them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from textcnn.artifact import read_artifact
from textcnn.train.progress import Progress

from .conftest import Run

TINY = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.batch_size=8", "train.learning_rate=0.02"]


def test_an_encoder_is_learned_and_started_from(run: Run, here: Path) -> None:
    ran = run("pretrain", "train.csv", "--text-column", "text", "--output", "models/encoder/1", "--epochs", "3", *TINY)
    assert ran.code == 0
    assert "words written right: " in ran.out
    assert "go on: textcnn train DATA --start-from models/encoder/1" in ran.err
    ran = run("train", "train.csv", "--start-from", "models/encoder", "train.max_epochs=2", "train.batch_size=8")
    assert ran.code == 0
    assert "starting from encoder/1: its blocks, " in ran.err
    assert "is a pre-trained encoder without labels" in run("predict", "models/encoder", "parcel").err
    assert "is a pre-trained encoder without labels" in run("inspect", "models/encoder").err


def test_ctrl_c_keeps_what_was_learned_so_far(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "epoch", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    ran = run("pretrain", "train.csv", "--output", "models/encoder/1", "--epochs", "1000", *TINY)
    assert ran.code == 130
    assert "interrupted: keeping what was learned so far" in ran.err
    assert "saved models/encoder/1" in ran.out
    metrics = read_artifact("models/encoder").metrics
    assert metrics["interrupted"] and len(metrics["history"]) == 1


def test_vectors_are_trained_and_used(run: Run, here: Path) -> None:
    ran = run("vectors", "train", "train.csv", "--text-column", "text", "--output", "mine.bin", "--dim", "12",
              "--min-count", "2", "--threads", "1")  # fmt: skip
    assert ran.code == 0
    assert " words, 12 numbers each: mine.bin" in ran.out
    assert run("train", "train.csv", "--vectors", "mine.bin", "train.max_epochs=1").code == 0


@pytest.mark.parametrize("kind", ["word2vec", "fasttext"])
def test_vectors_are_written_over_nothing(run: Run, mistake: Callable[..., str], here: Path, kind: str) -> None:
    train = ("vectors", "train", "train.csv", "--min-count", "1", "--dim", "8", "--epochs", "1", "--kind", kind)
    before = Path("train.csv").read_bytes()
    assert "train.csv is read, so it is not written" in mistake(*train, "--output", "train.csv", "--overwrite")
    assert Path("train.csv").read_bytes() == before
    Path("mine.bin").write_text("mine")
    assert "mine.bin exists already; name another file, or pass --overwrite" in mistake(*train, "--output", "mine.bin")
    assert run(*train, "--output", "mine.bin", "--overwrite", "--quiet").err == ""
    assert sorted(path.name for path in here.iterdir()) == ["mine.bin", "test.csv", "train.csv"]


def test_mistakes(mistake: Callable[..., str], here: Path) -> None:
    assert "there is no folder no/such" in mistake("vectors", "train", "train.csv", "--output", "no/such/x.bin")
    assert "there is no model at nowhere" in mistake("train", "train.csv", "--start-from", "nowhere")
