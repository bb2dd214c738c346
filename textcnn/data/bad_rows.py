"""Rows that cannot be used: either the reading stops with a list of them, or they go unchanged to a side file."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from textcnn.choices import BadRowsPolicy
from textcnn.errors import BadRowsError, ReadError

SHOWN = 20


@dataclass(frozen=True, slots=True)
class BadRow:
    """`record` holds the row as it stands in the file, without its line end."""

    number: int
    reason: str
    record: bytes


class BadRows:
    """Collects the bad rows of one file; a context manager, which puts the side file in its place at the end.

    The side file is `<name>.bad-rows.csv` with the columns row, reason and record, beside the input or in
    `side_folder`, and in the current folder where that one cannot be written. It is written under another name and
    renamed once it is complete, or dropped when the reading fails.
    """

    def __init__(self, path: Path, policy: BadRowsPolicy, side_folder: Path | None) -> None:
        self.total = 0
        self.side_file: Path | None = None
        self._path = path
        self._policy = policy
        self._folder = side_folder or path.parent
        self._shown: list[tuple[int, str]] = []
        self._backslashes = False
        self._file: IO[bytes] | None = None

    def add(self, rows: Iterable[BadRow]) -> None:
        for row in rows:
            self.total += 1
            # of a CSV file: in JSON a quote stands so
            self._backslashes |= b'\\"' in row.record and (" fields where " in row.reason or "quote" in row.reason)
            if len(self._shown) < SHOWN:
                self._shown.append((row.number, row.reason))
            if self._policy == "skip":
                self._write(row)

    def raise_if_any(self, *, so_far: bool = False) -> None:
        """Raises BadRowsError if rows are bad and none may be. `so_far`: the file was not read to its end."""
        if not self.total or self._policy == "skip":
            return
        count = "1 row" if self.total == 1 else f"{self.total} rows"
        lines = [f"{self._path}: {count} cannot be used{' (the file was not read further)' if so_far else ''}:"]
        lines += [f"  row {number}: {reason}" for number, reason in self._shown]
        if self.total > len(self._shown):
            lines.append(f"  ... and {self.total - len(self._shown)} more")
        if self._backslashes:
            lines.append(
                "Quotation marks stand behind backslashes there, and CSV files double them: "
                f"""sed 's/\\\\"/""/g' {shlex.quote(str(self._path))} > FILE.csv"""
            )
        elif any(" fields where " in reason for _, reason in self._shown):
            lines.append('A field that has the delimiter in it needs quotation marks around it: "good, but dear".')
        lines.append("Correct them, or leave them out with --bad-rows skip, which keeps them unchanged in a side file.")
        raise BadRowsError("\n".join(lines), shown=self._shown, total=self.total)

    @property
    def left_out(self) -> str:
        """A sentence on the rows that went to the side file, "" where none did."""
        if not self.side_file:
            return ""
        count = "1 bad row was" if self.total == 1 else f"{self.total} bad rows were"
        return f"{count} left out and kept in {self.side_file}"

    def _write(self, row: BadRow) -> None:
        try:
            if self._file is None:
                self._file = self._open()
                self._file.write(b"row,reason,record\n")
            reason, record = (part.replace(b'"', b'""') for part in (row.reason.encode(), row.record))
            self._file.write(b'%d,"%s","%s"\n' % (row.number, reason, record))
        except OSError as error:
            raise self._cannot_write(error) from None

    def _open(self) -> IO[bytes]:
        """The unfinished side file in the first folder that can be written."""
        name = f"{self._path.name}.bad-rows.csv"
        for folder in (self._folder, Path.cwd()):
            self.side_file = folder / name
            with contextlib.suppress(OSError):  # then the next one
                return self._unfinished.open("wb")
        raise OSError(f"neither {self._folder} nor {Path.cwd()} can be written")

    @property
    def _unfinished(self) -> Path:
        assert self.side_file is not None
        return self.side_file.with_name(f".{self.side_file.name}.{os.getpid()}.part")

    def _cannot_write(self, error: OSError) -> ReadError:
        return ReadError(
            f"{self._path} has bad rows that cannot be kept: {error}; name a side folder with room for them"
        )

    def __enter__(self) -> BadRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is None or self.side_file is None:
            return
        try:
            self._file.close()
            # a caller that wants no more rows (GeneratorExit) has still lost those that were skipped
            if kind is None or kind is GeneratorExit:
                os.replace(self._unfinished, self.side_file)
                return
        except OSError as failure:
            raise self._cannot_write(failure) from None
        self._unfinished.unlink(missing_ok=True)
