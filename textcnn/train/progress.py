"""What a person sees while a network trains, and what stays of it: a bar or plain lines, metrics.jsonl, TensorBoard."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from textcnn.progress_bar import ProgressBar

REFRESH_STEPS = 20
LINE_SECONDS = 60.0


class Progress:
    """Reports one run. A bar where `stream` is a terminal, elsewhere a line an epoch and at least one a minute, nothing
    if `quiet`.
    """

    def __init__(self, *, stream: TextIO | None = None, quiet: bool = False, folder: Path | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._bar = ProgressBar(self._stream, wanted=False)
        self._log: Path | None = None
        self._board: Any = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._log = folder / "metrics.jsonl"
            if importlib.util.find_spec("tensorboard"):
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(folder / "tensorboard")

    def begin(self, *, steps: int, epochs: int, done: int = 0, history: Sequence[dict[str, Any]] = ()) -> None:
        """`steps` an epoch, at most `epochs` of them; `done` steps and the epochs of `history` are behind us."""
        self._steps, self._epochs, self._started, self._done = steps, epochs, time.perf_counter(), 0
        self._before, self._told = done, self._started
        self._bar = ProgressBar(self._stream, wanted=not self._quiet, done=done / (steps * epochs), at_most=True)
        self._write("".join(_line(record) for record in history), mode="w")

    def step(self, epoch: int, step: int, *, loss: float, accuracy: float, texts_per_second: float) -> None:
        """Called every REFRESH_STEPS steps, when `step` steps of the epoch are done, with its running means."""
        done, everything = (epoch - 1) * self._steps + step, self._steps * self._epochs
        figures = f"loss {loss:.3f}, accuracy {accuracy:.1%}, {texts_per_second:,.0f} texts/s"
        if self._bar.shown:
            self._bar.show(f"epoch {epoch}/{self._epochs}", done / everything, figures)
        elif time.perf_counter() - self._told >= LINE_SECONDS:
            left = (time.perf_counter() - self._started) / (done - self._before) * (everything - done)
            self.note(
                f"epoch {epoch}/{self._epochs}, step {step:,} of {self._steps:,}: {figures}, at most {left:,.0f} s left"
            )

    def epoch(self, record: dict[str, Any], *, best: bool) -> None:
        """An epoch is over: its figures."""
        self._done += 1
        each = (time.perf_counter() - self._started) / self._done
        left = each * (self._epochs - record["epoch"])
        line = f"epoch {record['epoch']}/{self._epochs}: loss {record['train_loss']:.3f}"
        line += f", accuracy {record['train_accuracy']:.1%}"
        if "validation_accuracy" in record:
            line += f"; validation loss {record['validation_loss']:.3f}, accuracy {record['validation_accuracy']:.1%}"
        line += f"{' (best)' if best else ''}; {record['texts_per_second']:,.0f} texts/s, at most {left:.0f} s left"
        self.note(line)
        self._write(_line(record), mode="a")
        if self._board is not None:
            for key, value in record.items():
                self._board.add_scalar(key, value, record["epoch"])

    def _write(self, lines: str, *, mode: str) -> None:
        if self._log is None:
            return
        try:
            with open(self._log, mode, encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:  # no reason to lose what was trained
            self.note(f"cannot write {self._log}: {error.strerror}; training goes on without it")
            self._log = None

    def note(self, line: str) -> None:
        """A line for the person, above the bar if there is one."""
        self._told = time.perf_counter()
        if not self._quiet:
            self._bar.write(line)

    def end(self) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
