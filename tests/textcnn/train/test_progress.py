from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier
from textcnn.train.pretrain import pretrain_encoder
from textcnn.train.progress import Progress

from ...conftest import TINY

RECORD = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.75, "texts_per_second": 1234.5, "seconds": 1.0}
CHECKED = {**RECORD, "validation_loss": 0.6, "validation_accuracy": 0.7}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(stream: io.StringIO, **options: Any) -> str:
    progress = Progress(stream=stream, **options)
    progress.begin(steps=10, epochs=3)
    progress.step(1, 5, loss=0.5, accuracy=0.75, texts_per_second=1234.5)
    progress.epoch(CHECKED, best=True)
    progress.note("a note")
    progress.end()
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert run(io.StringIO()).splitlines() == [
        "epoch 1/3: loss 0.500, accuracy 75.0%; validation loss 0.600, accuracy 70.0% (best); 1,234 texts/s, "
        "at most 0 s left",
        "a note",
    ]


def test_an_epoch_of_many_minutes_says_each_minute_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("textcnn.train.progress.time.perf_counter", lambda: clock[0])
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.begin(steps=2000, epochs=3, done=2000)
    for step in range(20, 301, 20):  # 10 s each
        clock[0] += 10.0
        progress.step(2, step, loss=0.5, accuracy=0.75, texts_per_second=1234.5)
    progress.end()
    assert stream.getvalue().splitlines() == [
        f"epoch 2/3, step {step:,} of 2,000: loss 0.500, accuracy 75.0%, 1,234 texts/s, at most {left:,} s left"
        for step, left in ((120, 1940), (240, 1880))
    ]


def test_a_bar_with_figures_and_time_left_on_a_terminal() -> None:
    shown = run(Terminal())
    for part in ("epoch 1/3", "loss 0.500, accuracy 75.0%, 1,234 texts/s", "at most", "left", "a note"):
        assert part in shown


def test_quiet_says_nothing() -> None:
    assert run(io.StringIO(), quiet=True) == run(Terminal(), quiet=True) == ""


def test_metrics_have_a_line_for_each_epoch(tmp_path: Path) -> None:
    run(io.StringIO(), folder=tmp_path / "run")
    run(io.StringIO(), folder=tmp_path / "run")  # another run starts anew
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line) == CHECKED


def test_a_resumed_run_keeps_the_epochs_before_the_checkpoint_and_no_others(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n')  # epoch 3 came after the last checkpoint
    progress = Progress(quiet=True, folder=tmp_path)
    progress.begin(steps=10, epochs=4, done=20, history=[{"epoch": 1}, {"epoch": 2}])
    progress.epoch({**RECORD, "epoch": 3}, best=False)
    assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2, 3]


def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    said = io.StringIO()
    run(said, folder=tmp_path)
    assert said.getvalue().count("metrics.jsonl: Is a directory; training goes on without it") == 1


def test_tensorboard_is_written_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(io.StringIO(), folder=tmp_path)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_nothing_is_written_for_tensorboard_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    run(io.StringIO(), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_training_needs_no_finer_clock_than_windows_has_and_no_step_of_less_than_a_minute(
    monkeypatch: pytest.MonkeyPatch, corpus: tuple[list[str], list[str]]
) -> None:
    """time.monotonic() moves there every 16 ms, which is more than a small epoch takes."""
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    TextClassifier(TINY).fit(*corpus)
    pretrain_encoder(TINY, corpus[0])
    seconds = itertools.count(0, 100)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(seconds)))
    stream = io.StringIO()
    TextClassifier(TINY).fit(*corpus, progress=Progress(stream=stream))
    assert "step 1 of " in stream.getvalue()
