"""What a person sees while a network trains, and what stays of it: a bar or plain lines, metrics.jsonl, TensorBoard."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
        self._member, self._members = 1, 1
        self._earlier: Sequence[dict[str, Any]] = ()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._log = folder / "metrics.jsonl"
            if importlib.util.find_spec("tensorboard"):
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(folder / "tensorboard")

    def member(self, number: int, members: int, history: Sequence[dict[str, Any]] = ()) -> Progress:
        """What reports on one network of several; `history` are the epochs of those before it.

        The time that is left is for all that are still to come.
        """
        one = copy.copy(self)
        one._member, one._members, one._earlier = number, members, history
        return one

    def begin(self, *, steps: int, epochs: int, done: int = 0, history: Sequence[dict[str, Any]] = ()) -> None:
        """`steps` an epoch, at most `epochs` of them; `done` steps and the epochs of `history` are behind us."""
        self._steps, self._epochs, self._started, self._done = steps, epochs, time.perf_counter(), 0
        self._before, self._told = done, self._started
        share = self._share(1, done)
        self._bar = ProgressBar(self._stream, wanted=not self._quiet, done=share, at_most=True)
        self._write("".join(map(_line, (*self._earlier, *map(self._named, history)))), mode="w")

    def step(self, epoch: int, step: int, *, loss: float, accuracy: float, texts_per_second: float) -> None:
        """Called every REFRESH_STEPS steps, when `step` steps of the epoch are done, with its running means."""
        done = (epoch - 1) * self._steps + step
        figures = f"loss {loss:.3f}, accuracy {accuracy:.1%}, {texts_per_second:,.0f} texts/s"
        if self._bar.shown:
            self._bar.show(self._place(epoch), self._share(epoch, step), figures)
        elif time.perf_counter() - self._told >= LINE_SECONDS:
            to_come = self._steps * self._epochs * (self._members - self._member + 1) - done
            left = (time.perf_counter() - self._started) / (done - self._before) * to_come
            self.note(f"{self._place(epoch)}, step {step:,} of {self._steps:,}: {figures}, at most {left:,.0f} s left")

    def epoch(self, record: dict[str, Any], *, best: bool) -> None:
        """An epoch is over: its figures."""
        self._done += 1
        each = (time.perf_counter() - self._started) / self._done
        left = each * (self._epochs * (self._members - self._member + 1) - record["epoch"])
        line = f"{self._place(record['epoch'])}: loss {record['train_loss']:.3f}"
        line += f", accuracy {record['train_accuracy']:.1%}"
        if "validation_accuracy" in record:
            line += f"; validation loss {record['validation_loss']:.3f}, accuracy {record['validation_accuracy']:.1%}"
        line += f"{' (best)' if best else ''}; {record['texts_per_second']:,.0f} texts/s, at most {left:.0f} s left"
        self.note(line)
        self._write(_line(self._named(record)), mode="a")
        if self._board is not None:
            curve = f"member {self._member}/" if self._members > 1 else ""
            for key, value in record.items():
                self._board.add_scalar(curve + key, value, record["epoch"])

    def _place(self, epoch: int) -> str:
        member = f"member {self._member}/{self._members}, " if self._members > 1 else ""
        return f"{member}epoch {epoch}/{self._epochs}"

    def _share(self, epoch: int, step: int) -> float:
        """How much of all is behind, 0 to 1."""
        epochs = (self._member - 1) * self._epochs + epoch - 1
        return (epochs + step / self._steps) / (self._epochs * self._members)

    def _named(self, record: dict[str, Any]) -> dict[str, Any]:
        """The figures of an epoch, with the member that they are of."""
        return {"member": self._member, **record} if self._members > 1 else record

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

    @contextmanager
    def during(self, what: str) -> Iterator[Callable[[float], None]]:
        """A bar by itself, of work beside the epochs: call what it gives with the share that is behind."""
        with ProgressBar(self._stream, wanted=not self._quiet, at_most=True) as bar:
            yield lambda share: bar.show(what, share)

    def end(self) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
