"""textcnn predict."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from json.encoder import encode_basestring
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textcnn.cli.common import (
    FILE,
    NumberRange,
    check_outputs,
    engine_options,
    reading_options,
    shown_path,
    tell,
    texts_bar,
)
from textcnn.cli.pieces import input_option, pieces_of, table_writer, text_list

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from textcnn.classifier import TextClassifier
    from textcnn.data.dialect import Dialect
    from textcnn.types import Floats

    Best = npt.NDArray[np.int64]

FORMATS = ("jsonl", "csv", "parquet")
OWN_COLUMNS = {"text", "label", "probability", "top", "abstained", "label_set", "familiarity", "levels"}
# what is asked for beside the label, by column: a boolean, a number or a list of labels for each text
Extras = dict[str, list[Any]]
# texts, their best classes and the probabilities of those, int64 and float32 [texts, top_k], and the extras
Write = Callable[[list[str], "Best", "Floats", Extras], None]

EPILOG = """\b
Examples:
  textcnn predict models/support "where is my parcel?" "the lamp is broken"
  textcnn predict models/support --input mails.csv --keep id --output labelled.csv
  textcnn predict models/support --input new.csv --least-sure 100 --output label-these.csv
  textcnn predict models/support --abstain-below 0.8 --label-sets 0.95 "it just stopped"
  zcat mails.txt.gz | textcnn predict models/support > labels.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@input_option
@click.option(
    "--output", type=FILE, help="Where to write; .jsonl, .csv or .parquet. Default: JSON Lines on standard output."
)
@click.option("--overwrite", is_flag=True, help="With --output: replace the file if it exists.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Format of the output, where its name does not say.")
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True, help="Labels for each text.")
@click.option(
    "--abstain-below",
    type=NumberRange(0, 1),
    metavar="PROBABILITY",
    help="Mark labels less probable than this as abstained; default: the thresholds kept by textcnn calibrate.",
)
@click.option(
    "--label-sets",
    "coverage",
    type=NumberRange(0.01, 0.99),
    metavar="COVERAGE",
    help="Also the labels among which the right one is in this share of all texts, e.g. 0.95.",
)
@click.option("--familiarity", is_flag=True, help="Also how familiar the text is; below 0.05: of another kind.")
@click.option(
    "--least-sure",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Only so many texts, each once, those with the least probable labels first: what to label next.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME",
    help="Column of --input to copy to the output, e.g. id; repeat for several.",
)
@engine_options
@reading_options(labels=False)
def predict(
    model: Path, texts: tuple[str, ...], source: Path | None, output: Path | None, overwrite: bool, kind: str | None,
    top_k: int, abstain_below: float | None, coverage: float | None, familiarity: bool, least_sure: int | None,
    keep: tuple[str, ...], running: dict[str, Any], **reading: Any,
) -> None:  # fmt: skip
    """Label TEXTs, a file or lines of standard input with MODEL (a model folder).

    Writes text, label and probability of each row, in order; with --top-k also the other labels. `abstained` is there
    where the model, or --abstain-below, says when not to answer. Reads and writes piece by piece, so files larger than
    memory work.
    """
    from textcnn.answers import is_single, most_probable
    from textcnn.classifier import TextClassifier
    from textcnn.cli.answer_rows import answer_rows

    open_pieces = pieces_of(texts, source, reading, keep=keep)
    kind = kind or _kind_of(output)
    if output is None and kind == "parquet":
        raise click.UsageError("parquet cannot be written to standard output; give --output FILE")
    check_outputs([output], inputs=[source], overwrite=overwrite)
    classifier = TextClassifier.load(model, **running)
    if taken := sorted(_own_columns(classifier.head).intersection(keep)):
        raise click.UsageError(f"--keep {taken[0]}: the output has a column of that name")
    if top_k > len(classifier.labels):
        raise click.UsageError(f"--top-k is {top_k}, but the model has {len(classifier.labels)} labels")
    rows: Callable[..., Any]
    if is_single(classifier.head):
        extras = _extras(classifier, abstain_below, coverage, familiarity)
        rows = partial(
            _format_writer, kind=kind, labels=classifier.labels, extras=[*extras, *keep], with_top=top_k > 1,
            several=classifier.texts_per_record > 1,
        )  # fmt: skip
    elif top_k > 1 or abstain_below is not None or coverage is not None or familiarity or least_sure:
        raise click.UsageError(
            "--top-k, --abstain-below, --label-sets, --familiarity and --least-sure are for models that give one label "
            f"a text; this one has a {classifier.head['type']} head"
        )
    else:
        separator = classifier.artifact_.config.data.label_separator
        several = classifier.texts_per_record > 1
        rows = partial(answer_rows, kind=kind, head=classifier.head, separator=separator, several=several, keep=keep)
    pieces, dialect = open_pieces(classifier.artifact_.config)
    # where answers scroll by on the same terminal, a bar would only be in the way
    quiet = bool(texts) or (output is None and sys.stdout.isatty())
    doubtful = LeastSure(least_sure) if least_sure else None
    with _writer(output, partial(rows, dialect=dialect)) as write, texts_bar(quiet=quiet) as advance:
        for chunk, share, kept in pieces:
            if is_single(classifier.head):
                probabilities = _numbers(classifier.predict_proba(chunk), chunk)
                beside = {name: column(chunk, probabilities) for name, column in extras.items()}
                (doubtful.add if doubtful else write)(chunk, *most_probable(probabilities, top_k), {**beside, **kept})
            else:
                write(chunk, classifier.classify(chunk), kept)
            advance(len(chunk), share)
        if doubtful and doubtful.rows:
            write(*doubtful.columns())


def _numbers(probabilities: Floats, texts: Sequence[str]) -> Floats:
    """The same. Raises DataError where a text has none, for CSV and JSON cannot say so."""
    import numpy as np

    from textcnn.errors import DataError

    if wrong := np.flatnonzero(np.isnan(probabilities).any(1)).tolist():
        text = textwrap.shorten(texts[wrong[0]], 60, placeholder=" ...")
        raise DataError(
            f"the model's probabilities of {text!r} are no numbers: its weights are too large, train it again"
        )
    return probabilities


class LeastSure:
    """Of all answers that are added those with the least probable labels, each text once, least probable first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.rows: list[tuple[str, Best, Floats, dict[str, Any]]] = []

    def add(self, texts: list[str], best: Best, scores: Floats, beside: Extras) -> None:
        """Answers as they are written: texts, classes and probabilities [texts, top_k], and the columns beside."""
        extras = ({name: values[row] for name, values in beside.items()} for row in range(len(texts)))
        added = zip(texts, best, scores, extras, strict=True)
        one_of_each = {row[0].strip(): row for row in (*added, *self.rows) if row[0].strip()}
        self.rows = sorted(one_of_each.values(), key=lambda row: float(row[2][0]))[: self._most]

    def columns(self) -> tuple[list[str], Best, Floats, Extras]:
        """What was kept, in the same form."""
        import numpy as np

        texts, best, scores, extras = zip(*self.rows, strict=True)
        beside = {name: [extra[name] for extra in extras] for name in extras[0]}
        return list(texts), np.stack(best), np.stack(scores), beside


def _own_columns(head: dict[str, Any]) -> set[str]:
    from textcnn.answers import is_single

    if is_single(head):
        return OWN_COLUMNS
    tasks = head.get("tasks") or {}
    return {"text", "labels", "probabilities"} if not tasks else {"text", *tasks, *(f"{t}_probability" for t in tasks)}


def _extras(
    classifier: TextClassifier, abstain_below: float | None, coverage: float | None, familiarity: bool
) -> dict[str, Callable[[list[str], Floats], list[Any]]]:
    """The columns beside the label that were asked for, each as a function of texts and probabilities.

    Raises DataError now, not in the middle of a file, for what the model cannot say.
    """
    from textcnn.answers import nodes_above

    calibration, names = classifier.artifact_.calibration, classifier.labels
    extras: dict[str, Callable[[list[str], Floats], list[Any]]] = {}
    if abstain_below is not None or calibration.thresholds:
        classifier.classify([], abstain_below=abstain_below)
        extras["abstained"] = lambda texts, p: calibration.abstains(
            p.argmax(1), p.max(1), at_least=abstain_below
        ).tolist()
    if coverage is not None:
        classifier.label_sets([], coverage=coverage)
        extras["label_set"] = lambda texts, p: [
            [names[i] for i in row.nonzero()[0]] for row in calibration.label_sets(p, coverage=coverage)
        ]
    if familiarity:
        classifier.familiarity([])
        extras["familiarity"] = lambda texts, p: _rounded(classifier.familiarity(texts))
    if classifier.head["type"] == "hierarchy":
        extras["levels"] = lambda texts, p: [
            [{"label": node.label, "probability": round(node.probability, 6)} for node in above]
            for above in nodes_above(p, names, classifier.head)
        ]
    return extras


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
def _writer(output: Path | None, rows: Callable[[Any], Any]) -> Iterator[Callable[..., None]]:
    """A function that writes rows, as `rows(file)` makes one; its first argument is a list of texts.

    A file appears under its name when it is complete. What is done when something fails stays as NAME.partial.
    """
    if output is None:
        with rows(sys.stdout.buffer) as write:
            yield write
        sys.stdout.buffer.flush()
        return
    from textcnn.errors import DataError

    target = output.resolve() if output.is_symlink() else output  # a link stays one
    # of this process alone, for another may be writing the same file; a pipe or a device is written to, not replaced
    own = not target.exists() or target.is_file()
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.partial") if own else target
    done = 0
    try:
        with open(unfinished, "wb") as file, rows(file) as write:

            def write_and_count(texts: list[str], *answers: Any) -> None:
                nonlocal done
                write(texts, *answers)
                done += len(texts)

            yield write_and_count
        if own:
            os.replace(unfinished, target)
        tell([f"wrote {shown_path(output)}: {'1 row' if done == 1 else f'{done:,} rows'}"])
    except BaseException as error:
        if done:
            if own:
                unfinished = unfinished.replace(target.with_name(f"{target.name}.partial"))
            tell([f"the first {done:,} rows are done and stay in {unfinished}"])
        elif own:
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataError(f"cannot write {output}: {error.strerror or error}") from None
        raise


@contextmanager
def _format_writer(
    file: Any, kind: str, labels: Sequence[str], extras: Sequence[str], with_top: bool, several: bool, dialect: Dialect
) -> Iterator[Write]:
    """Columns rather than objects: a row costs about as much here as in the network. `dialect` is that of csv.

    With `several` a text is a record of them, written as a JSON list.
    """
    quoted = [encode_basestring(label) for label in labels]

    def top(best: Best, scores: Floats) -> Iterator[str]:
        for indices, row in zip(best.tolist(), _rounded(scores), strict=True):
            pairs = (f'{{"label": {quoted[i]}, "probability": {score}}}' for i, score in zip(indices, row, strict=True))
            yield f"[{', '.join(pairs)}]"

    if kind == "jsonl":

        def write_json(texts: list[str], best: Best, scores: Floats, beside: Extras) -> None:
            quote = text_list if several else encode_basestring
            first = zip(texts, best[:, 0].tolist(), _rounded(scores[:, 0]), strict=True)
            rows = [f'{{"text": {quote(t)}, "label": {quoted[i]}, "probability": {p}' for t, i, p in first]
            if with_top:
                rows = [f'{row}, "top": {others}' for row, others in zip(rows, top(best, scores), strict=True)]
            for name, values in beside.items():
                shown = (json.dumps(value, ensure_ascii=False, default=str) for value in values)
                key = encode_basestring(name)
                rows = [f"{row}, {key}: {value}" for row, value in zip(rows, shown, strict=True)]
            file.write("".join(f"{row}}}\n" for row in rows).encode("utf-8", "replace"))
            file.flush()

        yield write_json
        return
    import pyarrow as pa

    fields = [("text", pa.string()), ("label", pa.string()), ("probability", pa.float32())]
    kinds = {"abstained": pa.bool_(), "familiarity": pa.float32(), "label_set": pa.string(), "levels": pa.string()}
    fields += [("top", pa.string())] if with_top else []
    schema = pa.schema([*fields, *((name, kinds.get(name, pa.string())) for name in extras)])
    names = pa.array(labels, pa.string())
    with table_writer(file, schema, kind, dialect) as writer:

        def write_table(texts: list[str], best: Best, scores: Floats, beside: Extras) -> None:
            texts = list(map(text_list, texts)) if several else texts
            printable = [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]
            columns = [pa.array(printable, pa.string()), names.take(pa.array(best[:, 0]))]
            columns.append(pa.array(_rounded(scores[:, 0]), pa.float32()))
            if with_top:
                columns.append(pa.array(top(best, scores), pa.string()))
            for name, values in beside.items():
                if name in ("label_set", "levels"):
                    values = [json.dumps(value, ensure_ascii=False) for value in values]
                elif name not in kinds:
                    values = [None if value is None else str(value) for value in values]
                columns.append(pa.array(values, schema.field(name).type))
            writer.write_table(pa.table(columns, schema=schema))

        yield write_table


def _rounded(scores: Floats) -> Any:
    """Probabilities as Python numbers that print short."""
    return scores.astype("float64").round(6).tolist()
