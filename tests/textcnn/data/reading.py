"""Small files, and what is read from them, for the tests of reading."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from hypothesis import HealthCheck, settings

from textcnn.data.readers import Examples, ReadOptions, TextChunk, iter_texts

ROWS = [("Good, really", "pos"), ("bad\nvery bad", "neg"), ('so "so"', "neutral"), ("über schön 体", "pos")]

# of every kind: too few fields, too many, no text, no label
BAD = 'text,label\na,x\nb\n\n"c",y,z\n ,x\nd, \n"e\nf",y\n'

in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def write(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def as_csv(rows: list[tuple[str, str]], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("text", "label"), *rows])
    return file.getvalue()


def pairs(examples: Examples) -> list[tuple[str, str]]:
    return list(zip(examples.texts, examples.labels, strict=True))


def side_rows(examples: Examples) -> list[list[str]]:
    assert examples.side_file is not None
    with examples.side_file.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def chunks_of(path: Path, **options: object) -> list[TextChunk]:
    return list(iter_texts(path, ReadOptions(**options)))


def parquet_bytes(**columns: object) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), file)
    return file.getvalue()
