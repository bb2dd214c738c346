"""Texts for the commands that answer about each: arguments, lines of standard input or a table, piece by piece; and
how to show one on a terminal.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from textcnn.cli.common import FILE, tell, tell_source, typed_path
from textcnn.cli.settings import as_trained, expecting_columns, options_of
from textcnn.data.dialect import Dialect

if TYPE_CHECKING:
    from textcnn.config import RunConfig
    from textcnn.data.readers import TextStream

ROWS_AT_ONCE = 4096


class Piece(NamedTuple):
    """Some texts, the share of the input up to their end, 0 to 1, where its size is known, and the columns to keep."""

    texts: list[str]
    share: float | None = None
    kept: dict[str, list[Any]] = {}


class Pieces(NamedTuple):
    """All pieces of an input, and how a CSV file is written that is made of it."""

    pieces: Iterable[Piece]
    dialect: Dialect = Dialect()


input_option = click.option(
    "--input",
    "source",
    type=FILE,
    help="A table of texts (csv, tsv, jsonl, parquet), or lines (txt); - for lines of standard input.",
)


def pieces_of(
    texts: Sequence[str], source: Path | None, reading: dict[str, Any], *, keep: Sequence[str] = ()
) -> Callable[[RunConfig], Pieces]:
    """How to get the texts that arguments, --input and the reading options name, for a model of that configuration.

    Mistakes in these are told at once. A table's columns are those of training where no others are named; a .txt file
    holds a text a line. Of a model that reads several texts together, so many arguments make a record, and so many
    texts with tabs between them a line.
    """
    if texts and source:
        raise click.UsageError("give texts or --input, not both")
    for text in texts:
        if os.path.isfile(text):
            inside = f"for what stands in it: --input {typed_path(Path(text))}"
            tell([f"{text} is taken for a text, though a file has that name; {inside}"])
    lines = source if source and source.suffix == ".txt" else None
    table = None if lines or str(source) == "-" else source
    for flag, given in (*reading.items(), ("keep", keep)):
        if given and not table and flag != "encoding":
            raise click.UsageError(f"--{flag.replace('_', '-')} is about a table; give one with --input FILE")
    if table:
        return lambda config: _rows(table, as_trained(config, reading), keep)
    return lambda config: Pieces(_given(texts, config) if texts else _lines(lines, reading["encoding"], config))


def _given(texts: Sequence[str], config: RunConfig) -> list[Piece]:
    count = config.model.texts_per_record
    if len(texts) % count:
        raise click.UsageError(
            f"the model reads {count} texts together, and {len(texts)} cannot be divided so; give TEXT TEXT ..."
        )
    if count == 1:
        return [Piece(list(texts))]
    from textcnn.types import join_texts

    return [Piece([join_texts(texts[first : first + count]) for first in range(0, len(texts), count)])]


def text_list(record: str) -> str:
    """The texts of a record as a JSON list."""
    from textcnn.types import split_texts

    return json.dumps(split_texts(record), ensure_ascii=False)


def table_writer(file: Any, schema: Any, kind: str, dialect: Dialect) -> Any:
    """Arrow's writer of that schema, for csv in the dialect or for parquet."""
    from pyarrow import csv, parquet

    if kind == "parquet":
        return parquet.ParquetWriter(file, schema)
    file.write(dialect.start)
    return csv.CSVWriter(file, schema, write_options=csv.WriteOptions(delimiter=dialect.delimiter))


def _lines(source: Path | None, encoding: str, config: RunConfig) -> Iterator[Piece]:
    """A file or standard input, many lines at a time, or one at a time from a person."""
    from textcnn.errors import ReadError

    encoding = encoding or "utf-8-sig"  # UTF-8 that may begin with a byte order mark
    try:
        file = open(source, "rb") if source else sys.stdin.buffer
        reader = io.TextIOWrapper(file, encoding, newline="\n")
    except LookupError:
        raise click.UsageError(f"--encoding: {encoding!r} is no text encoding that Python knows") from None
    except OSError as error:
        raise ReadError(f"cannot read {source}: {error.strerror}") from None
    one_by_one = not source and sys.stdin.isatty()
    if one_by_one:
        tell(["type a text and press enter; Ctrl-D ends"])
    count = config.model.texts_per_record
    return _pieces(reader, 1 if one_by_one else ROWS_AT_ONCE, str(source or "standard input"), count)


def _is_header(line: str) -> bool:
    """Names without spaces, a known one of a text column among them."""
    from textcnn.data.columns import TEXT_NAMES

    names = [name.strip('"\ufeff').casefold() for name in re.split(r"[,;|\t]", line.strip("\r\n"))]
    return (
        len(names) > 1 and all(re.fullmatch(r"\S+", name) for name in names) and not set(TEXT_NAMES).isdisjoint(names)
    )


def _pieces(reader: io.TextIOWrapper, rows: int, name: str, count: int) -> Iterator[Piece]:
    """Raises ReadError at what is not in the reader's encoding, or not `count` texts with tabs between them, when the
    lines before it are done.
    """
    from textcnn.errors import ReadError

    size, done = _size_of(reader), 0
    broken: UnicodeDecodeError | None = None
    while not broken:
        lines: list[str] = []
        try:
            lines.extend(islice(reader, rows))
        except UnicodeDecodeError as error:
            broken = error
        if lines:
            if not done and _is_header(lines[0]):
                tell(
                    [
                        f"the first line of {name} looks like the header of a table, but every line is taken for a "
                        "text; give a table as a file: --input FILE.csv"
                    ]
                )
            done += len(lines)
            share = os.lseek(reader.fileno(), 0, os.SEEK_CUR) / size if size else None
            texts, wrong = [line.rstrip("\r\n") for line in lines], ""
            if count > 1:
                texts, wrong = _records(texts, count)
            yield Piece(texts, share)
            if wrong:
                number = done - len(lines) + len(texts) + 1
                raise ReadError(f"{name}: line {number:,} has {wrong}, expected {count} with a tab between each two")
        elif not broken:
            break
    file = reader.detach()
    if file is not sys.stdin.buffer:
        file.close()
    if broken:
        raise ReadError(
            f"{name}: byte 0x{broken.object[broken.start]:02x} after line {done:,} is not {broken.encoding}; "
            "name the encoding with --encoding"
        )


def _records(lines: list[str], count: int) -> tuple[list[str], str]:
    """The records of the lines before the first that has not `count` texts, and what that has instead."""
    from textcnn.types import join_texts

    records: list[str] = []
    for line in lines:
        parts = line.split("\t")
        if len(parts) != count:
            return records, "one text" if len(parts) == 1 else f"{len(parts)} texts"
        records.append(join_texts(parts))
    return records, ""


def _size_of(reader: io.TextIOWrapper) -> int:
    """Bytes of a regular file behind `reader`; 0 for a pipe or a terminal."""
    try:
        status = os.fstat(reader.fileno())
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _rows(source: Path, config: RunConfig, keep: Sequence[str]) -> Pieces:
    from textcnn.data.readers import iter_texts

    def pieces(stream: TextStream) -> Iterator[Piece]:
        for chunk in stream:
            yield Piece(chunk.texts, stream.progress, {name: chunk.cells(name) for name in keep})
        if stream.left_out:
            tell([stream.left_out])

    options = replace(options_of(config), columns_needed=tuple(keep))
    with expecting_columns(config):
        stream = iter_texts(source, options, batch_rows=ROWS_AT_ONCE)
    tell_source(source, stream, kept=keep)
    return Pieces(pieces(stream), stream.dialect)


def visible(text: str) -> str:
    """Without control characters, which could do anything to a terminal; each is replaced by one character.

    The texts of a record stand each on a line.
    """
    from textcnn.types import TEXT_BREAK

    text = text.replace(TEXT_BREAK, "\n")
    return "".join(c if c.isprintable() or c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)
