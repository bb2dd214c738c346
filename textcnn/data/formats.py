"""One reader a file format: CSV, JSON lines, Parquet. Each gives its rows in parts, in order, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from textcnn.data.bad_rows import BadRow
from textcnn.data.columns import shorten
from textcnn.data.dialect import Dialect
from textcnn.data.encoding import BYTE_ORDER_MARKS, canonical_encoding, detect_encoding, is_utf8
from textcnn.data.legacy import LEGACY
from textcnn.data.records import Block, Splitter, blocks, split_csv, split_lines, stray_quotes
from textcnn.data.source import Utf8Source, check_is_text, decompressed, open_bytes
from textcnn.errors import ReadError
from textcnn.types import Offsets

# In order of preference where the header holds as many of one as of another.
DELIMITERS = ",\t;|"
# More quotes than this inside fields mean that the file does not use them for quoting.
STRAY_QUOTES = 0.1
HEADER_BYTES = 1 << 20
PARQUET_ROWS = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a file. `record(i)` gives row i of the table unchanged; `bad` rows are not in the table.

    `nested` names the columns with lists or objects in them, whose cells `values(name)` gives as they are.
    """

    table: pa.Table
    row_numbers: Offsets
    record: Callable[[int], bytes]
    bad: Sequence[BadRow] = ()
    nested: frozenset[str] = frozenset()
    values: Callable[[str], list[Any]] = lambda name: []


class Reader(Protocol):
    """An open file. `encoding` and `delimiter` are "" where the format has none; `parts` can be read once.

    `doubts` are sentences that say what was guessed of the format and may be wrong. `dialect` is that of CSV files for
    whoever wrote this one.
    """

    names: list[str]
    dialect: Dialect
    has_header: bool
    encoding: str
    delimiter: str
    doubts: list[str]

    def parts(self) -> Iterator[Part]: ...

    def progress(self) -> float:
        """The share of the file that has been read, 0 to 1."""

    def close(self) -> None: ...


class _TextReader:
    """What CSV and JSON lines share: bytes decompressed and turned into UTF-8."""

    expected: str

    def __init__(self, path: Path, compression: str | None, encoding: str) -> None:
        self.path = path
        self.doubts: list[str] = []
        with open_bytes(path, compression) as stream:
            head = stream.read(8)
        check_is_text(path, head)
        self._has_mark = any(head.startswith(mark) for mark, _ in BYTE_ORDER_MARKS)
        self.encoding = canonical_encoding(encoding) if encoding else self._detect(compression)
        self._file = path.open("rb")
        self._bytes = os.fstat(self._file.fileno()).st_size
        self._stream = decompressed(self._file, compression)
        self._source = Utf8Source(self._stream, self.encoding)

    def _detect(self, compression: str | None) -> str:
        with open_bytes(self.path, compression) as stream:
            encoding, how = detect_encoding(stream.read)
        if encoding in LEGACY:
            self.doubts.append(f"encoding {encoding} ({how})")
        return encoding

    def _first_bytes(self, size: int) -> bytes:
        start = self._source.read(size)
        if not start.strip():
            raise ReadError(f"{self.path} is empty; expected {self.expected}")
        return start

    def _bad_row(self, block: Block, index: int, reason: str) -> BadRow:
        return BadRow(block.first_number + index, reason, self._source.original(block.record(index)))

    def _undecodable(self, record: bytes) -> str:
        try:
            record.decode()
        except UnicodeDecodeError as error:
            what = f"byte 0x{record[error.start]:02x}" if self.encoding == "utf-8" else "a byte"
            character = len(record[: error.start].decode()) + 1
            return (
                f"{what} at character {character} is not {self.encoding}; "
                "if the whole file is in another encoding, name it with --encoding"
            )
        return ""

    def progress(self) -> float:
        return self._file.tell() / max(1, self._bytes)

    def close(self) -> None:
        self._stream.close()


class CsvReader(_TextReader):
    """Delimited text with a header. The row number is the number of the record: the header is row 1."""

    has_header = True
    expected = "a line of column names and rows under it"

    def __init__(self, path: Path, compression: str | None, *, encoding: str, delimiter: str) -> None:
        super().__init__(path, compression, encoding)
        try:
            start = self._first_bytes(HEADER_BYTES)
            if said := _EXCEL.match(start):  # of the file, not of the table: a spreadsheet does not show it
                start = start[said.end() :]
                delimiter = delimiter or said.group(1).decode()
            head = _header_line(start)
            self.delimiter = delimiter or _detect_delimiter(head, path)
            self.dialect = Dialect.like(delimiter=self.delimiter, mark=self._has_mark, encoding=self.encoding)
            self._quoting = self.delimiter != "\t" or stray_quotes(start, "\t") <= STRAY_QUOTES
            if not self._quoting:
                self.doubts.append("quotes are taken as plain characters, as they stand within fields")
            split: Splitter = partial(split_csv, delimiter=self.delimiter) if self._quoting else split_lines
            self._blocks = blocks(path, self._source, split, start)
            self.names = self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> list[str]:
        """The column names; puts the rest of the first block back."""
        for block in self._blocks:
            for index in range(len(block)):
                header = block.record(index)
                if not header:
                    continue
                reason = block.spans.faults.get(index) or self._undecodable(header)
                if reason:
                    raise ReadError(f"{self.path}: the header, row {block.first_number + index}: {reason}")
                self._rest = block.after(index)
                return self._fields(header.decode())
        raise ReadError(f"{self.path} is empty; expected {self.expected}")

    def _fields(self, header: str) -> list[str]:
        # a line end within a quoted name is a line of its own to csv
        lines = io.StringIO(header, newline="")
        try:
            names = next(csv.reader(lines, delimiter=self.delimiter, quotechar='"' if self._quoting else None))
            return [name.strip() for name in names]
        except csv.Error:
            raise ReadError(
                f"{self.path} has no header: expected column names such as text,label in row 1, "
                f"found {shorten(header[:1000])!r}"
            ) from None

    def parts(self) -> Iterator[Part]:
        yield self._part(self._rest)
        for block in self._blocks:
            yield self._part(block)

    def _part(self, block: Block) -> Part:
        spans = block.spans
        faults = dict(spans.faults)
        if not is_utf8(block.data[: spans.consumed]):
            for index in range(len(block)):
                reason = self._undecodable(block.record(index))
                if reason:
                    faults.setdefault(index, reason)
        used = spans.ends > spans.starts
        used[list(faults)] = False
        places = np.flatnonzero(used)
        table, uneven = self._parse(block, places, whole=not faults)
        faults |= {int(places[row]): reason for row, reason in uneven.items()}
        places = np.delete(places, list(uneven))
        # Arrow and the splitter must agree on what a record is, or the row numbers would be wrong.
        assert len(places) == table.num_rows, (len(places), table.num_rows)
        bad = [self._bad_row(block, index, faults[index]) for index in sorted(faults)]
        return Part(table, block.first_number + places, lambda i: self._source.original(block.record(places[i])), bad)

    def _parse(self, block: Block, places: Offsets, *, whole: bool) -> tuple[pa.Table, dict[int, str]]:
        """The records at `places` as columns of strings, and by row those whose fields are too few or too many."""
        if not len(places):
            return pa.table([pa.array([], pa.string())] * len(self.names), names=self.names), {}
        first, last = block.spans.starts[0], block.spans.ends[-1]
        data = memoryview(block.data)[first:last] if whole else b"\n".join(block.record(i) for i in places)
        uneven: dict[int, str] = {}

        def note_uneven(row: Any) -> str:
            fields = "1 field" if row.actual_columns == 1 else f"{row.actual_columns} fields"
            uneven[row.number - 1] = f"{fields} where the header has {row.expected_columns}"
            return "skip"

        # Arrow wants names that differ
        places_as_names = [str(index) for index in range(len(self.names))]
        table = pa.csv.read_csv(
            pa.BufferReader(pa.py_buffer(data)),
            # without threads Arrow knows the number of a bad row
            pa.csv.ReadOptions(column_names=places_as_names, block_size=len(data) + 1, use_threads=False),
            pa.csv.ParseOptions(
                delimiter=self.delimiter,
                quote_char='"' if self._quoting else False,
                newlines_in_values=self._quoting,
                invalid_row_handler=note_uneven,
            ),
            pa.csv.ConvertOptions(check_utf8=False, column_types={name: pa.string() for name in places_as_names}),
        )
        return table.rename_columns(self.names), uneven


# What Excel wants in front of a table whose delimiter is not that of its own country.
_EXCEL = re.compile(rb'"?sep=([,;\t|])"?(?:\r\n|\r|\n)', re.IGNORECASE)
_HEADER_LINE = re.compile(rb'[\r\n]*((?:[^"\r\n]++|"(?:[^"]++|"")*+")*+)')


def _header_line(start: bytes) -> bytes:
    match = _HEADER_LINE.match(start)
    assert match is not None
    return match.group(1)


def _detect_delimiter(header: bytes, path: Path) -> str:
    """The most frequent candidate in the header outside quotes; without any, the one of the file's ending."""
    unquoted = re.sub(rb'"[^"]*"', b"", header).decode("utf-8", "replace")
    preferred = "\t" if ".tsv" in path.name.lower() else ","
    delimiter: str = max([preferred, *DELIMITERS], key=unquoted.count)
    return delimiter


class JsonLinesReader(_TextReader):
    """One JSON object a line. A value that is no string stands in the table as its JSON text.

    The columns are those of the first part that has any; a later part may have more.
    """

    has_header = False
    delimiter = ""
    dialect = Dialect()
    expected = "one JSON object a line"

    def __init__(self, path: Path, compression: str | None, *, encoding: str, delimiter: str) -> None:
        super().__init__(path, compression, encoding)
        try:
            start = self._first_bytes(HEADER_BYTES)
            if start.lstrip().startswith(b"["):
                raise ReadError(
                    f"{path} holds one JSON array; expected one JSON object a line. Convert it with: jq -c '.[]'"
                )
            self._blocks = blocks(path, self._source, split_lines, start)
            self._first_parts: list[Part] = []
            self.names: list[str] = []
            while not self.names:
                self._first_parts.append(self._part(self._next_block()))
                self.names = self._first_parts[-1].table.column_names
        except BaseException:
            self.close()
            raise

    def _next_block(self) -> Block:
        block = next(self._blocks, None)
        if block is None:
            bad = [row for part in self._first_parts for row in part.bad]
            what = f"row {bad[0].number}: {bad[0].reason}" if bad else "its objects are empty"
            raise ReadError(f"{self.path}: no line is a JSON object with columns; {what}")
        return block

    def parts(self) -> Iterator[Part]:
        yield from self._first_parts
        self._first_parts = []
        for block in self._blocks:
            yield self._part(block)

    def _part(self, block: Block) -> Part:
        rows: list[dict[str, Any]] = []
        places: list[int] = []
        bad: list[BadRow] = []
        for index in range(len(block)):
            record = block.record(index)
            if not record.strip():
                continue
            row = self._object(record)
            if isinstance(row, str):
                bad.append(self._bad_row(block, index, row))
            else:
                rows.append(row)
                places.append(index)
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: pa.array(map(_cell, (row.get(name) for row in rows)), pa.string()) for name in names}
        return Part(
            pa.table(columns),
            block.first_number + np.array(places, np.int64),
            lambda i: self._source.original(block.record(places[i])),
            bad,
            frozenset(name for row in rows for name, value in row.items() if isinstance(value, (list, dict))),
            lambda name: [row.get(name) for row in rows],
        )

    def _object(self, record: bytes) -> dict[str, Any] | str:
        """The object of a line, or what is wrong with it."""
        reason = self._undecodable(record)
        if reason:
            return reason
        try:
            row = json.loads(record.decode())
            # half a surrogate pair, which only an escape can bring in, is no character
            if b"\\u" in record:
                _encode_json(row).encode()
        except json.JSONDecodeError as error:
            return f"not valid JSON: {error.msg} at character {error.pos + 1}"
        except (ValueError, RecursionError) as error:
            return f"not usable JSON: {shorten(str(error), 100)}"
        return row if isinstance(row, dict) else f"{type(row).__name__} where a JSON object is expected"


_encode_json = json.JSONEncoder(ensure_ascii=False).encode


def _cell(value: Any) -> str | None:
    return None if value is None else json_text(value)


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else _encode_json(value)


class ParquetReader:
    """Columns with types. The first record is row 1."""

    has_header = False
    encoding = ""
    delimiter = ""
    dialect = Dialect()

    def __init__(self, path: Path, compression: str | None, *, encoding: str, delimiter: str) -> None:
        self.doubts: list[str] = []
        self._given = 0
        self._stream = path.open("rb")
        try:
            if not self._stream.read(1):
                raise ReadError(f"{path} is empty; expected a Parquet file")
            self._file = pa.parquet.ParquetFile(self._stream)
        except BaseException:
            self._stream.close()
            raise
        self.names: list[str] = self._file.schema_arrow.names

    def parts(self) -> Iterator[Part]:
        number = 1
        nested = frozenset(field.name for field in self._file.schema_arrow if pa.types.is_nested(field.type))
        for batch in self._file.iter_batches(batch_size=PARQUET_ROWS):
            table = pa.Table.from_batches([batch])
            self._given += table.num_rows
            yield Part(
                table, np.arange(number, number + table.num_rows), partial(_row_as_json, table),
                nested=nested, values=partial(_cells, table),
            )  # fmt: skip
            number += table.num_rows

    def progress(self) -> float:
        return self._given / max(1, int(self._file.metadata.num_rows))

    def close(self) -> None:
        self._stream.close()


def _cells(table: pa.Table, name: str) -> list[Any]:
    cells: list[Any] = table.column(name).to_pylist()
    return cells


def _row_as_json(table: pa.Table, index: int) -> bytes:
    return json.dumps(table.slice(index, 1).to_pylist()[0], ensure_ascii=False, default=str).encode()
