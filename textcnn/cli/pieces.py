"""Texts for the commands that answer about each: arguments, lines of standard input or a table, piece by piece."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textcnn.cli.common import FILE, read_options, tell, tell_source

if TYPE_CHECKING:
    from textcnn.data.readers import TextStream

ROWS_AT_ONCE = 4096
# some texts, and the share of the input up to their end, 0 to 1, where its size is known
Piece = tuple[list[str], float | None]

input_option = click.option(
    "--input", "source", type=FILE, help="A table of texts (csv, tsv, jsonl, parquet); - for lines of standard input."
)


def pieces_of(texts: Sequence[str], source: Path | None, reading: dict[str, Any]) -> Callable[[], Iterable[Piece]]:
    """How to get the texts that arguments, --input and the reading options name; mistakes in these are told at once."""
    if texts and source:
        raise click.UsageError("give texts or --input, not both")
    table = None if str(source) == "-" else source
    for flag in ("text_column", "delimiter", "bad_rows"):
        if reading[flag] and not table:
            raise click.UsageError(f"--{flag.replace('_', '-')} is about a table; give one with --input FILE")
    if table:
        return lambda: _rows(table, reading)
    return lambda: [(list(texts), None)] if texts else _lines(reading["encoding"])


def _lines(encoding: str) -> Iterator[Piece]:
    """Standard input, many lines at a time from a file or pipe, one at a time from a person."""
    try:
        # utf-8-sig is UTF-8 that may begin with a byte order mark
        reader = io.TextIOWrapper(sys.stdin.buffer, encoding or "utf-8-sig", errors="replace", newline="\n")
    except LookupError:
        raise click.UsageError(f"--encoding: {encoding!r} is no text encoding that Python knows") from None
    one_by_one = sys.stdin.isatty()
    if one_by_one:
        tell(["type a text and press enter; Ctrl-D ends"])
    return _pieces(reader, 1 if one_by_one else ROWS_AT_ONCE)


def _pieces(reader: io.TextIOWrapper, rows: int) -> Iterator[Piece]:
    size = _size_of(reader)
    while lines := list(islice(reader, rows)):
        share = os.lseek(reader.fileno(), 0, os.SEEK_CUR) / size if size else None
        yield [line.rstrip("\r\n") for line in lines], share
    reader.detach()  # else it would close standard input


def _size_of(reader: io.TextIOWrapper) -> int:
    """Bytes of a regular file behind `reader`; 0 for a pipe or a terminal."""
    try:
        status = os.fstat(reader.fileno())
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _rows(source: Path, reading: dict[str, Any]) -> Iterator[Piece]:
    from textcnn.data.readers import iter_texts

    def pieces(stream: TextStream) -> Iterator[Piece]:
        for chunk in stream:
            yield chunk.texts, stream.progress
        if stream.skipped:
            tell(stream.doubts[-1:])

    stream = iter_texts(source, read_options(**reading), batch_rows=ROWS_AT_ONCE)
    tell_source(source, stream)
    return pieces(stream)


@contextmanager
def bar(shown: bool) -> Iterator[Callable[[int, float | None], None]]:
    """A function to call with the texts just done and the share of the input that is behind them, if known."""
    if not shown:
        yield lambda count, share: None
        return
    from tqdm import tqdm

    with tqdm(unit=" texts", unit_scale=True, file=sys.stderr, dynamic_ncols=True) as bar:

        def advance(count: int, share: float | None) -> None:
            if share:
                bar.total = round((bar.n + count) / share)  # an estimate, and with it the time left
            bar.update(count)

        yield advance
