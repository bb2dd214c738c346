from __future__ import annotations

import io
import re

import pytest

from textcnn.progress_bar import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def last_line(stream: io.StringIO) -> str:
    return [line for line in re.split(r"[\r\n]", stream.getvalue()) if line.strip()][-1]


def test_it_says_what_is_done_how_far_it_is_and_what_is_left() -> None:
    with ProgressBar(Terminal()) as bar:
        bar.show("predicting", 0.25, "1,000 texts/s")
        shown = last_line(bar._stream)
    assert re.fullmatch(r"predicting\S* \|.*\|  25%, 1,000 texts/s, \S+ left", shown)


def test_work_that_may_end_sooner_is_left_at_most() -> None:
    with ProgressBar(Terminal(), at_most=True) as bar:
        bar.show("epoch 1/3", 0.25)
        assert "at most" in last_line(bar._stream)


@pytest.mark.parametrize(
    ("columns", "figures"),
    [(100, ", loss 0.684, accuracy 56.6%, 5,436 texts/s"), (80, ", loss 0.684, accuracy 56.6%"), (40, "")],
)
def test_a_narrow_terminal_has_fewer_figures_and_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, columns: int, figures: str
) -> None:
    with ProgressBar(Terminal(), at_most=True) as bar:
        monkeypatch.setattr(bar._bar, "dynamic_ncols", lambda _: (columns, 24))
        bar.show("epoch 1/2", 0.5, "loss 0.684, accuracy 56.6%, 5,436 texts/s")
        shown = last_line(bar._stream)
    assert re.fullmatch(rf"epoch 1/2\S* \|.+\|  50%{re.escape(figures)}, at most \S+ left", shown)
    assert len(shown) <= columns


def test_where_nobody_knows_the_size_there_is_no_bar_and_no_time_left() -> None:
    with ProgressBar(Terminal()) as bar:
        bar.show("4,096 texts", None, "800 texts/s")
        assert re.fullmatch(r"4,096 texts\S*, 800 texts/s, 00:\d\d\s*", last_line(bar._stream))


@pytest.mark.parametrize(("stream", "wanted"), [(io.StringIO(), True), (Terminal(), False)])
def test_without_a_terminal_or_unwanted_only_lines_that_stay_are_written(stream: io.StringIO, wanted: bool) -> None:
    with ProgressBar(stream, wanted=wanted) as bar:
        bar.show("predicting", 0.5)
        bar.write("a line")
    assert stream.getvalue() == "a line\n"


def test_a_line_that_stays_is_written_beside_the_bar() -> None:
    stream = Terminal()
    with ProgressBar(stream) as bar:
        bar.show("predicting", 0.5)
        bar.write("a line")
    assert "a line\n" in stream.getvalue()
