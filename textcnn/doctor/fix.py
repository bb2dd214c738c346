"""What a check found, as files: a list of the suspect rows, and a cleaned copy of the data."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from textcnn.doctor.check import Checkup
from textcnn.doctor.labels import respelled, spelling_variants
from textcnn.errors import DataError
from textcnn.files import replacing

SUSPECT_COLUMNS = ("file", "row", "problem", "detail", "label", "suggestion", "text")


def write_suspects(path: Path, checkup: Checkup) -> int:
    """Every suspect row with its problem as CSV like the data, worst findings first; how many. Raises DataError."""
    examples = checkup.examples
    place = {int(row): i for i, row in enumerate(examples.row_numbers)}
    written = 0
    with _file(path) as file:
        file.write(examples.dialect.start.decode())
        writer = csv.writer(file, delimiter=examples.dialect.delimiter, lineterminator="\n")
        writer.writerow(SUSPECT_COLUMNS)
        for found in checkup.findings:
            for suspect in found.suspects:
                i = place.get(suspect.row) if suspect.file == "data" else None
                known = ("", "") if i is None else (examples.labels[i], examples.texts[i])
                writer.writerow(
                    [suspect.file, suspect.row, found.kind, suspect.detail, known[0], suspect.suggestion, known[1]]
                )
                written += 1
    return written


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a cleaned copy differs in: rows that repeat another, rows that cannot be used, labels respelled."""

    path: Path
    rows: int
    repeated: int
    unusable: int
    respelled: int


def clean_copy_path(data: Path) -> Path:
    """reviews.csv.gz -> reviews.clean.csv, beside it."""
    return data.with_name(f"{data.name.split('.')[0]}.clean.csv")


def write_clean_copy(path: Path, checkup: Checkup) -> Fixed:
    """The usable rows with every column, as CSV like the data: repetitions dropped, spellings of labels made one.

    Rows that only look suspicious stay as they are: those are for a person to judge. Raises DataError if the file
    cannot be written.
    """
    examples = checkup.examples
    # of a kind there may be two findings, one of the test file
    found = [
        (found.kind, suspect) for found in checkup.findings for suspect in found.suspects if suspect.file == "data"
    ]
    repeated = {suspect.row for kind, suspect in found if kind == "duplicates"}
    unusable = [suspect for kind, suspect in found if kind == "unusable_rows"]
    variants = spelling_variants(checkup.labels)
    kept = np.array([int(row) not in repeated for row in examples.row_numbers])
    labels = [respelled(label, variants, checkup.separator) for label in examples.labels]
    table = examples.table.set_column(
        examples.table.schema.get_field_index(examples.label_column),
        examples.label_column,
        pa.array(labels, pa.string()),
    ).filter(pa.array(kept))
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise DataError(
            f"column {nested[0]!r} holds lists or objects, which a CSV file cannot hold; fix the rows by hand"
        )
    with _file(path, binary=True) as file:
        file.write(examples.dialect.start)
        arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(delimiter=examples.dialect.delimiter))
    changed = sum(new != old for new, old in zip(labels, examples.labels, strict=True))
    return Fixed(path, int(kept.sum()), int((~kept).sum()), len(unusable), changed)


@contextlib.contextmanager
def _file(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file that appears under its name when it is complete. Raises DataError."""
    try:
        with (
            replacing(path) as beside,
            open(beside, "wb") if binary else open(beside, "w", encoding="utf-8", newline="") as file,
        ):
            yield file
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None
