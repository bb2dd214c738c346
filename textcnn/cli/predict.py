"""textcnn predict."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textcnn.cli.common import FILE, read_options, reading_options, tell

if TYPE_CHECKING:
    from textcnn.types import Prediction

ROWS_AT_ONCE = 4096
FORMATS = ("jsonl", "csv", "parquet")
Write = Callable[[list[str], "list[Prediction]"], None]

EPILOG = """\b
Examples:
  textcnn predict models/support "where is my parcel?" "the lamp is broken"
  textcnn predict models/support --input mails.csv --output labelled.csv
  zcat mails.txt.gz | textcnn predict models/support > labels.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--input", "source", type=FILE, help="A table of texts (csv, tsv, jsonl, parquet); - for lines of standard input."
)
@click.option(
    "--output", type=FILE, help="Where to write; .jsonl, .csv or .parquet. Default: JSON Lines on standard output."
)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Format of the output, where its name does not say.")
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True, help="Labels for each text.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--engine", default="auto", show_default=True, help="auto, ngram_table or torch.")
@reading_options(labels=False)
def predict(
    model: Path, texts: tuple[str, ...], source: Path | None, output: Path | None, kind: str | None, top_k: int,
    device: str, engine: str, **reading: Any,
) -> None:  # fmt: skip
    """Label TEXTs, a file or lines of standard input with MODEL (a model folder).

    Writes text, label and probability of each row, in order; with --top-k also the other labels. Reads and writes piece
    by piece, so files larger than memory work.
    """
    from textcnn.classifier import TextClassifier

    if texts and source:
        raise click.UsageError("give texts or --input, not both")
    classifier = TextClassifier.load(model, device=device, engine=engine)
    if top_k > len(classifier.classes_):
        raise click.UsageError(f"--top-k is {top_k}, but the model has {len(classifier.classes_)} labels")
    chunks: Iterable[list[str]]
    if texts:
        chunks = [list(texts)]
    elif source is None or str(source) == "-":
        chunks = _lines()
    else:
        chunks = _rows(source, reading)
    with _writer(output, kind or _kind_of(output), with_top=top_k > 1) as write, _bar(bool(texts), output) as bar:
        for chunk in chunks:
            write(chunk, classifier.classify(chunk, top_k=top_k))
            bar.update(len(chunk))


def _lines() -> Iterator[list[str]]:
    """Standard input, many lines at a time from a file or pipe, one at a time from a person."""
    one_by_one = sys.stdin.isatty()
    if one_by_one:
        tell(["type a text and press enter; Ctrl-D ends"])
    raw = sys.stdin.buffer
    while lines := list(islice(iter(raw.readline, b""), 1 if one_by_one else ROWS_AT_ONCE)):
        yield [line.rstrip(b"\r\n").decode("utf-8", errors="replace") for line in lines]


def _rows(source: Path, reading: dict[str, Any]) -> Iterator[list[str]]:
    from textcnn.data.readers import iter_texts

    stream = iter_texts(source, read_options(**reading), batch_rows=ROWS_AT_ONCE)
    tell(stream.notes)
    for chunk in stream:
        yield chunk.texts
    if stream.skipped:
        tell([f"{stream.skipped:,} rows were set aside in {stream.side_file}"])


def _kind_of(output: Path | None) -> str:
    if output is None:
        return "jsonl"
    ending = output.suffix.removeprefix(".").lower()
    if ending in ("jsonl", "ndjson"):
        return "jsonl"
    if ending in FORMATS:
        return ending
    raise click.UsageError(f"cannot tell the format from {output.name!r}; use .jsonl, .csv or .parquet, or --format")


@contextmanager
def _bar(few: bool, output: Path | None) -> Iterator[Any]:
    from tqdm import tqdm

    # where answers scroll by on the same terminal, a bar would only be in the way
    hidden = few or not sys.stderr.isatty() or (output is None and sys.stdout.isatty())
    with tqdm(unit=" texts", unit_scale=True, file=sys.stderr, disable=hidden) as bar:
        yield bar


@contextmanager
def _writer(output: Path | None, kind: str, *, with_top: bool) -> Iterator[Write]:
    """A function that writes rows. A file appears under its name when it is complete; until then it is NAME.partial."""
    if output is None:
        if kind == "parquet":
            raise click.UsageError("parquet cannot be written to standard output; give --output FILE")
        with _format_writer(sys.stdout.buffer, kind, with_top) as write:
            yield write
        sys.stdout.buffer.flush()
        return
    from textcnn.errors import DataError

    partial = output.with_name(output.name + ".partial")
    try:
        file = open(partial, "wb")
    except OSError as error:
        raise DataError(f"cannot write {output}: {error.strerror}") from None
    with file, _format_writer(file, kind, with_top) as write:
        yield write
    os.replace(partial, output)


@contextmanager
def _format_writer(file: Any, kind: str, with_top: bool) -> Iterator[Write]:
    if kind == "jsonl":

        def write_json(texts: list[str], predictions: list[Prediction]) -> None:
            for row in _records(texts, predictions, with_top):
                file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            file.flush()

        yield write_json
        return
    import pyarrow as pa
    from pyarrow import csv, parquet

    fields = [("text", pa.string()), ("label", pa.string()), ("probability", pa.float32())]
    schema = pa.schema([*fields, ("top", pa.string())] if with_top else fields)
    with csv.CSVWriter(file, schema) if kind == "csv" else parquet.ParquetWriter(file, schema) as writer:

        def write_table(texts: list[str], predictions: list[Prediction]) -> None:
            rows = _records(texts, predictions, with_top)
            for row in rows:
                row["text"] = row["text"].encode("utf-8", "replace").decode()
                if with_top:
                    row["top"] = json.dumps(row["top"], ensure_ascii=False)
            writer.write_table(pa.Table.from_pylist(rows, schema))

        yield write_table


def _records(texts: list[str], predictions: list[Prediction], with_top: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for text, prediction in zip(texts, predictions, strict=True):
        row: dict[str, Any] = {"text": text, "label": prediction.label, "probability": round(prediction.probability, 6)}
        if with_top:
            row["top"] = [{"label": s.label, "probability": round(s.probability, 6)} for s in prediction.top]
        rows.append(row)
    return rows
