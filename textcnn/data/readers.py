"""Examples from a file: `read_examples` for training and evaluation, `iter_texts` for files larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textcnn.choices import BadRowsPolicy
from textcnn.data.bad_rows import BadRow, BadRows
from textcnn.data.columns import Columns, choose_columns, place_of, shorten
from textcnn.data.dialect import Dialect
from textcnn.data.encoding import check_encoding
from textcnn.data.formats import CsvReader, JsonLinesReader, ParquetReader, Part, Reader, json_text
from textcnn.data.source import COMPRESSIONS, read_errors
from textcnn.errors import ColumnError, ConfigError, ReadError
from textcnn.registry import nearest
from textcnn.types import TEXT_BREAK, Offsets

# Text formats may be compressed as well: train.csv.gz, train.jsonl.zst. Parquet is compressed inside.
READERS: dict[str, Callable[..., Reader]] = {
    ".csv": CsvReader,
    ".tsv": CsvReader,
    ".txt": CsvReader,
    ".jsonl": JsonLinesReader,
    ".ndjson": JsonLinesReader,
    ".parquet": ParquetReader,
}
# What else tables come as, and what to do about it.
FOREIGN_ENDINGS = {
    **dict.fromkeys((".zip", ".7z", ".tar", ".rar", ".xz"), "unpack it and name the table in it"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV"),
    ".json": "write one object a line and call it .jsonl: jq -c '.[]' FILE.json > FILE.jsonl",
}
ROWS_TO_GUESS_FROM = 1000
TAB_SPELLINGS = ("\\t", "tab")


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read a file; what is left empty is detected. Raises ConfigError.

    Several `text_columns` are joined by a space, or kept `apart` (see textcnn.types.join_texts). `delimiter` may be
    spelled "tab". `columns_needed` must be in the file as well. `side_folder` receives the rows that bad_rows="skip"
    leaves out; default: beside the input.
    `usual_text` and `usual_label` are columns of another file, taken where this one has them and none are named.
    With a `label_separator` a text has any number of labels with that between them: an empty label is one, null, which
    no CSV file has, is none, and a list of labels is joined by it.
    """

    text_columns: tuple[str, ...] = ()
    label_column: str = ""
    delimiter: str = ""
    encoding: str = ""
    bad_rows: BadRowsPolicy = "stop"
    columns_needed: tuple[str, ...] = ()
    side_folder: Path | None = None
    apart: bool = False
    usual_text: tuple[str, ...] = ()
    usual_label: str = ""
    label_separator: str = ""

    def __post_init__(self) -> None:
        faults = check_encoding(self.encoding) if self.encoding else []
        if self.bad_rows not in get_args(BadRowsPolicy):
            faults.append(f"bad_rows: expected {' or '.join(get_args(BadRowsPolicy))}, found {self.bad_rows!r}")
        if self.delimiter in TAB_SPELLINGS:
            object.__setattr__(self, "delimiter", "\t")
        if self.delimiter and (len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0'):
            faults.append(f"delimiter: expected one ASCII character that is no quote, found {self.delimiter!r}")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True, eq=False)
class Examples:
    """The usable rows of a file, in order.

    `row_numbers` count as a spreadsheet does: a header is row 1; in .jsonl the first line is row 1, in .parquet the
    first record. `table` holds every column. For a person: `doubts` are sentences on what was guessed of the format and
    may be wrong, `left_out` is one on the rows that went to the side file, "" where none did. `dialect` is that of
    CSV files for the same people.
    """

    texts: list[str]
    labels: list[str]
    row_numbers: Offsets
    table: pa.Table
    text_columns: tuple[str, ...]
    label_column: str
    encoding: str
    delimiter: str
    skipped: int
    side_file: Path | None
    doubts: tuple[str, ...]
    left_out: str
    dialect: Dialect

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(self.table.column_names)

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class TextChunk:
    """Consecutive usable rows; `batch` holds every column of them."""

    texts: list[str]
    row_numbers: Offsets
    batch: pa.RecordBatch

    def cells(self, name: str) -> list[Any]:
        """A column that `columns_needed` asked for; None where JSON lines have none of that name."""
        place = place_of(name, self.batch.schema.names)
        return self.batch.column(place).to_pylist() if place >= 0 else [None] * len(self.texts)


def read_examples(path: str | Path, options: ReadOptions = ReadOptions(), *, labels: bool = True) -> Examples:
    """Read a whole file. Raises ReadError, ColumnError, BadRowsError or ConfigError.

    With `labels` an empty text or a missing label makes a bad row; without, only an empty text. Rows of a CSV file with
    nothing in any cell, which spreadsheets put behind the last one, are passed over as blank lines are.
    """
    path = Path(path)
    texts: list[str] = []
    tags: list[str] = []
    numbers: list[Offsets] = []
    tables: list[pa.Table] = []
    with read_errors(path), _Opened(path, options, labels=labels) as file:
        for part in file.parts():
            text = _texts(part.table, file.columns, file.names, apart=options.apart)
            label, faults = _labels(part, file.columns, file.names, options.label_separator) if labels else (None, {})
            usable = _usable(
                part, text, label, faults, file.bad,
                empty_labels=bool(options.label_separator), delimiter=file.delimiter,
            )  # fmt: skip
            numbers.append(part.row_numbers[usable])
            mask = pa.array(usable)
            tables.append(part.table if usable.all() else part.table.filter(mask))
            texts += text.filter(mask).to_pylist()
            tags += pc.fill_null(label.filter(mask), "").to_pylist() if label is not None else []
        file.bad.raise_if_any()
    if not texts and not file.bad.total:
        raise ReadError(f"{path} has column names but no rows; expected at least one row under them")
    if not texts:
        raise ReadError(f"{path}: no row can be used; all {file.bad.total} are in {file.bad.side_file}")
    return Examples(
        texts,
        tags,
        np.concatenate(numbers),
        _concatenate(tables),
        tuple(file.names[index] for index in file.columns.text),
        file.names[file.columns.label] if labels else "",
        file.encoding,
        file.delimiter,
        file.bad.total,
        file.bad.side_file,
        file.doubts,
        file.bad.left_out,
        file.dialect,
    )


def iter_texts(path: str | Path, options: ReadOptions = ReadOptions(), *, batch_rows: int = 4096) -> TextStream:
    """Read a file of any size chunk by chunk, in constant memory, without labels. Raises as `read_examples` does.

    Every row that can be parsed is given, with text "" where it has none, so that rows can be answered one by one.
    With bad_rows="stop" the first bad row ends the reading; the chunks before it were given.
    """
    return TextStream(Path(path), options, batch_rows)


class TextStream(Iterator[TextChunk]):
    """The chunks of a file, and what is known of it, as of Examples.

    `skipped`, `side_file` and `left_out` are final at the end of the chunks.

    `progress` is the share of the file that the chunks given so far came from, 0 to 1.
    """

    def __init__(self, path: Path, options: ReadOptions, batch_rows: int) -> None:
        with read_errors(path):
            self._file = _Opened(path, options, labels=False)
        self._apart = options.apart
        self._chunks = self._read(path, batch_rows)
        self.progress = 0.0
        self.encoding = self._file.encoding
        self.delimiter = self._file.delimiter
        self.dialect = self._file.dialect
        self.doubts = self._file.doubts
        self.column_names = tuple(self._file.names)
        self.text_columns = tuple(self._file.names[index] for index in self._file.columns.text)

    @property
    def skipped(self) -> int:
        return self._file.bad.total

    @property
    def side_file(self) -> Path | None:
        return self._file.bad.side_file

    @property
    def left_out(self) -> str:
        return self._file.bad.left_out

    def _read(self, path: Path, batch_rows: int) -> Generator[TextChunk, None, None]:
        with read_errors(path), self._file as file:
            before = 0.0
            for part in file.parts():
                file.bad.add(part.bad)
                file.bad.raise_if_any(so_far=True)
                behind = file.progress()
                start = 0
                for batch in part.table.to_batches(max_chunksize=batch_rows):
                    table = pa.Table.from_batches([batch])
                    texts = _texts(table, file.columns, file.names, apart=self._apart).to_pylist()
                    chunk = TextChunk(texts, part.row_numbers[start : start + len(texts)], batch)
                    start += len(texts)
                    self.progress = before + (behind - before) * start / part.table.num_rows
                    yield chunk
                before = behind

    def __next__(self) -> TextChunk:
        return next(self._chunks)

    def close(self) -> None:
        """Give the file back before its end."""
        self._chunks.close()
        self._file.close()


class _Opened:
    """An open file with its columns chosen and its bad rows collected; closes both."""

    def __init__(self, path: Path, options: ReadOptions, *, labels: bool) -> None:
        self._path = path
        self._lists = bool(options.label_separator)  # may stand in the column of the labels
        self._reader = _open(path, options)
        self.bad = BadRows(path, options.bad_rows, options.side_folder)
        try:
            self.columns: Columns = choose_columns(
                path,
                self._reader.names,
                text_columns=options.text_columns,
                label_column=options.label_column,
                usual_text=options.usual_text,
                usual_label=options.usual_label,
                columns_needed=options.columns_needed,
                labels=labels,
                header=self._reader.has_header,
                first_rows=lambda: _first_rows(path, options),
            )
            if options.apart and len(self.columns.text) < 2:
                raise ColumnError(
                    f"{path}: the texts of several columns are wanted, and only "
                    f"{self._reader.names[self.columns.text[0]]!r} is known to hold any; name them with --text-column, "
                    "once for each (the columns are " + ", ".join(map(repr, self._reader.names)) + ")"
                )
        except BaseException:
            self.close()
            raise
        self.names = self._reader.names
        self.encoding = self._reader.encoding
        self.delimiter = self._reader.delimiter
        self.dialect = self._reader.dialect
        self.doubts = tuple(self._reader.doubts)
        self.progress = self._reader.progress

    def parts(self) -> Iterator[Part]:
        """The parts of the file that have rows. Raises ReadError when there is no row at all."""
        empty = True
        for part in self._reader.parts():
            for name in part.nested.intersection(self.names[index] for index in self.columns.text):
                raise ColumnError(f"{self._path}: column {name!r} holds lists or objects, not plain text; name another")
            if self.columns.label >= 0 and self.names[self.columns.label] in part.nested and not self._lists:
                raise ColumnError(
                    f"{self._path}: column {self.names[self.columns.label]!r} holds lists or objects, and one label a "
                    "text is expected. Where a text may have any number of them, say --label-separator '|', which "
                    "chooses the multi_label head and joins the labels of a list; else name another column"
                )
            if part.table.num_rows or part.bad:
                empty = False
                yield part
        if empty:
            raise ReadError(f"{self._path} has column names but no rows; expected at least one row under them")

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> _Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        self.bad.__exit__(kind, error, traceback)


def _open(path: Path, options: ReadOptions) -> Reader:
    """The reader of the path's ending."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]] or [""]
    compression = COMPRESSIONS.get(suffixes[-1])
    ending = suffixes[-1] if compression is None else "".join(suffixes[:-1])
    if not path.exists():
        raise FileNotFoundError
    if path.is_dir():
        raise IsADirectoryError
    if ending not in READERS or (compression and ending == ".parquet"):
        found = repr(ending + suffixes[-1] if compression else ending) if ending or compression else "no ending"
        advice = FOREIGN_ENDINGS.get(ending)
        raise ReadError(
            f"{path}: cannot tell the format from {found}{f'; {advice}' if advice else nearest(ending, READERS)}; "
            f"known are {', '.join(READERS)}, all but .parquet also with {' or '.join(COMPRESSIONS)} behind"
        )
    return READERS[ending](path, compression, encoding=options.encoding, delimiter=options.delimiter)


def _first_rows(path: Path, options: ReadOptions) -> list[list[str]]:
    """Some cells of the file, as strings; "" for a null."""
    reader = _open(path, options)
    try:
        part = next(iter(reader.parts()), None)
        rows = part.table.slice(0, ROWS_TO_GUESS_FROM).to_pylist() if part else []
    finally:
        reader.close()
    return [["" if row.get(name) is None else str(row[name]) for name in reader.names] for row in rows]


def _strings(table: pa.Table, index: int, names: list[str]) -> pa.ChunkedArray:
    """One column as strings: numbers as they print, categories by name; nulls where the part has no such column."""
    if table.num_columns <= index or table.column_names[index] != names[index]:
        # JSON objects name their columns in any order, and may leave them out
        index = table.schema.get_field_index(names[index])
    if index < 0:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    return table.column(index).cast(pa.string())


def _texts(table: pa.Table, columns: Columns, names: list[str], *, apart: bool = False) -> pa.ChunkedArray:
    """The text of each row: its text columns joined by a space; empty ones leave no space behind.

    With `apart` joined by TEXT_BREAK, each in its place, as `join_texts` does.
    """
    parts = [_strings(table, index, names) for index in columns.text]
    if apart:
        filled = [pc.replace_substring(pc.fill_null(part, ""), TEXT_BREAK, " ") for part in parts]
        return pc.binary_join_element_wise(*filled, TEXT_BREAK)
    if len(parts) > 1:
        filled = [pc.if_else(pc.equal(part, ""), None, part) for part in parts]
        parts = [pc.binary_join_element_wise(*filled, " ", null_handling="skip")]
    return pc.fill_null(parts[0], "")


def _labels(part: Part, columns: Columns, names: list[str], separator: str) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """The label of each row, lists joined by the separator; and what is wrong with those that cannot be."""
    faults: dict[int, str] = {}
    if names[columns.label] not in part.nested:
        return pc.utf8_trim_whitespace(_strings(part.table, columns.label, names)), faults
    labels: list[str | None] = []
    for row, value in enumerate(part.values(names[columns.label])):
        try:
            labels.append(_joined(value, separator))
        except ValueError as error:
            faults[row] = str(error)
            labels.append(None)
    return pc.utf8_trim_whitespace(pa.chunked_array([pa.array(labels, pa.string())])), faults


def _joined(value: Any, separator: str) -> str | None:
    """Raises ValueError for what is no label and no list of labels, or for a label that would be taken apart again."""
    if value is None or isinstance(value, str):
        return value
    for label in value if isinstance(value, list) else [value]:
        if not isinstance(label, str | int | float):
            raise ValueError(f"the label is {shorten(repr(value))}, expected one or a list of them")
        if separator in str(label):
            raise ValueError(
                f"label {shorten(str(label))!r} has {separator!r} in it, which joins labels; "
                "choose one for --label-separator that none has"
            )
    return separator.join(map(json_text, value)) if isinstance(value, list) else json_text(value)


def _usable(
    part: Part,
    text: pa.ChunkedArray,
    label: pa.ChunkedArray | None,
    faults: dict[int, str],
    bad: BadRows,
    *,
    empty_labels: bool,
    delimiter: str,
) -> np.ndarray:
    """Which rows of the part have a text and a label, bool[N]; the others and the part's bad rows go to `bad`.

    `faults` are those of labels that cannot be read. A record that is nothing but delimiters is no row.
    """
    no_text = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy()
    no_label = np.zeros_like(no_text)
    if label is not None:
        no_label = (pc.is_null(label) if empty_labels else pc.fill_null(pc.equal(label, ""), True)).to_numpy()
    usable: np.ndarray = ~(no_text | no_label)
    rows = [
        BadRow(
            int(part.row_numbers[i]),
            "the text is empty" if no_text[i] else faults.get(i, "the label is missing"),
            part.record(i),
        )
        for i in np.flatnonzero(~usable).tolist()
        if not delimiter or part.record(i).strip(f'{delimiter}" \t\r\n'.encode())
    ]
    bad.add(sorted([*part.bad, *rows], key=lambda row: row.number) if rows else part.bad)
    return usable


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    """One table. Parts of a .jsonl file may differ in their columns; a row has null where its line had none."""
    alike = all(table.schema.equals(tables[0].schema) for table in tables)
    return pa.concat_tables(tables, promote_options="none" if alike else "default")
