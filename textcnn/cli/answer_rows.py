"""Rows of answers that are more than one label: any number of labels, or one for each task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from textcnn.cli.pieces import table_writer, text_list

if TYPE_CHECKING:
    from textcnn.data.dialect import Dialect
    from textcnn.types import Prediction

DIGITS = 6
WriteAnswers = Callable[[list[str], "Sequence[Prediction]", dict[str, list[Any]]], None]


@contextmanager
def answer_rows(
    file: Any,
    kind: str,
    head: dict[str, Any],
    separator: str,
    several: bool,
    dialect: Dialect,
    keep: Sequence[str] = (),
) -> Iterator[WriteAnswers]:
    """A function that writes texts, their predictions and the columns to `keep` to `file` as jsonl, csv or parquet.

    With labels: text, labels, probabilities; lists in jsonl, in tables joined by `separator`. With tasks: text, and for
    each task its label and probability. With `several` a text is a record of them, written as a list. `dialect` is that
    of csv.
    """
    from textcnn.types import split_texts

    if kind == "jsonl":

        def write_json(texts: list[str], answers: Sequence[Prediction], kept: dict[str, list[Any]]) -> None:
            given = map(split_texts, texts) if several else texts
            rows = (
                {"text": text, **_fields(answer), **{name: values[row] for name, values in kept.items()}}
                for row, (text, answer) in enumerate(zip(given, answers, strict=True))
            )
            lines = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
            file.write(lines.encode("utf-8", "replace"))
            file.flush()

        yield write_json
        return
    import pyarrow as pa

    if head["type"] == "multi_task":
        fields = [(name, of) for task in head["tasks"] for name, of in _columns(task, pa)]
    else:
        fields = [("labels", pa.string()), ("probabilities", pa.string())]
    schema = pa.schema([("text", pa.string()), *fields, *((name, pa.string()) for name in keep)])
    with table_writer(file, schema, kind, dialect) as writer:

        def write_table(texts: list[str], answers: Sequence[Prediction], kept: dict[str, list[Any]]) -> None:
            texts = list(map(text_list, texts)) if several else texts
            rows = [
                {
                    "text": text.encode("utf-8", "replace").decode(),
                    **_joined(_fields(answer), separator),
                    **{name: None if values[row] is None else str(values[row]) for name, values in kept.items()},
                }
                for row, (text, answer) in enumerate(zip(texts, answers, strict=True))
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))

        yield write_table


def _fields(answer: Prediction) -> dict[str, Any]:
    if answer.tasks is not None:
        return {
            name: value
            for task, own in answer.tasks.items()
            for name, value in ((task, own.label), (f"{task}_probability", round(own.probability, DIGITS)))
        }
    labels = answer.labels or ()
    return {
        "labels": [score.label for score in labels],
        "probabilities": [round(score.probability, DIGITS) for score in labels],
    }


def _columns(task: str, pa: Any) -> list[tuple[str, Any]]:
    return [(task, pa.string()), (f"{task}_probability", pa.float32())]


def _joined(fields: dict[str, Any], separator: str) -> dict[str, Any]:
    """Lists as one string each."""
    return {
        name: separator.join(map(str, value)) if isinstance(value, list) else value for name, value in fields.items()
    }
