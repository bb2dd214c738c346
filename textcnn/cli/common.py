"""Options and messages that several commands share."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from textcnn.choices import BadRowsPolicy, TablePrecision

if TYPE_CHECKING:
    from textcnn.classifier import TextClassifier
    from textcnn.data.readers import Examples, ReadOptions, TextStream

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
SHOWN_COLUMNS = 10


class NumberRange(click.FloatRange):
    """A range without NaN, which click's comparisons let through, and without infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


def reading_options(*, labels: bool) -> Callable[[Command], Command]:
    """--text-column and its companions; `read_options` turns them into one object."""
    options = [
        click.option(
            "--text-column",
            multiple=True,
            metavar="NAME",
            help="Column with the text; repeat to join several. Guessed from the header.",
        ),
        click.option("--delimiter", default="", help="Field delimiter of a CSV file; detected."),
        click.option("--encoding", default="", help="Text encoding of the file; detected."),
        click.option(
            "--bad-rows",
            type=click.Choice(get_args(BadRowsPolicy)),
            help="Stop at rows that cannot be used (default), or set them aside in a file.",
        ),
    ]
    if labels:
        label = click.option(
            "--label-column", default="", metavar="NAME", help="Column with the label. Guessed from the header."
        )
        options.insert(1, label)

    def decorate(command: Command) -> Command:
        decorated: Command = _with_options(command, options)
        return decorated

    return decorate


def _with_options(command: Any, options: Sequence[Callable[[Any], Any]]) -> Any:
    """The command with the options in that order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def read_options(
    *, text_column: tuple[str, ...], delimiter: str, encoding: str, bad_rows: str | None, label_column: str = ""
) -> ReadOptions:
    from textcnn.data.readers import ReadOptions

    return ReadOptions(
        text_columns=text_column,
        label_column=label_column,
        delimiter=delimiter,
        encoding=encoding,
        bad_rows="skip" if bad_rows == "skip" else "stop",
    )


def engine_options(command: Command) -> Command:
    """--device and its companions; the command gets them as `running`, the arguments of TextClassifier.load."""
    options = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option(
            "--engine", default="auto", show_default=True, help="auto, ngram_table, qrnn_table, segment_table or torch."
        ),
        click.option(
            "--table-precision",
            type=click.Choice(get_args(TablePrecision)),
            default="float32",
            show_default=True,
            help="Numbers in the tables of ngram_table; smaller ones are faster and less exact.",
        ),
        click.option(
            "--table-budget",
            callback=_bytes,
            metavar="SIZE",
            default="1GiB",
            show_default=True,
            help="Most memory that the tables take.",
        ),
        click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; default one per core."),
    ]

    @wraps(command)
    def with_running(**values: Any) -> Any:
        names = ("device", "engine", "table_precision", "table_budget", "threads")
        return command(running={name: values.pop(name) for name in names}, **values)

    decorated: Command = _with_options(with_running, options)
    return decorated


def _bytes(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """A number of bytes, such as 500MB or 2GiB."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError:
        raise click.BadParameter(f"{value!r} is no size; write bytes, or a number with a unit like 500MB") from None


label_separator_option = click.option(
    "--label-separator", default="", metavar="TEXT", help="Texts have any number of labels, with this between them."
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress bar.")
runs_option = click.option(
    "--runs",
    "runs_folder",
    type=FILE,
    envvar="TEXTCNN_RUNS",
    show_envvar=True,
    default=Path("runs"),
    show_default=True,
    help="Where runs are recorded.",
)


def tell(lines: Iterable[str]) -> None:
    """Lines for the person, on standard error, so that standard output stays data."""
    for line in lines:
        click.echo(line, err=True)


def tell_unknown_labels(figures: dict[str, Any]) -> None:
    """A line where an evaluation met labels that the model does not have."""
    count = figures["unknown_labels"]
    if count:
        rows = "1 row has" if count == 1 else f"{count:,} rows have"
        tell([f"{rows} a label that the model does not know; such a row counts as wrong"])


# What a file was to a model, by its purpose in the model's metrics, and what figures on it are worth.
_USED = {
    "data": "the model was trained on this very file: the figures say how well it remembers, not how well it works",
    "validation": "the best epoch of the model was chosen on this very file: the figures may be too good",
    "feedback": "the model was trained on this very file, too: the figures say how well it remembers",
    "calibration": "the model was calibrated on this very file: the figures may be too good",
}


def tell_known_file(path: Path, model: TextClassifier) -> None:
    """A line where the model comes from the file that it is to be measured on."""
    from textcnn.train.record import file_facts

    files = model.metrics_.get("files")
    digest = file_facts(path)["sha256"] if files else ""
    tell([f"{path}: {_USED[purpose.split()[0]]}" for purpose, known in (files or {}).items() if known == digest])


def tell_source(
    path: Path, source: Examples | TextStream, *, tasks: Sequence[str] = (), kept: Sequence[str] = ()
) -> None:
    """One line on how a file was taken, and one for whatever in it a person should look at.

    `tasks` are columns with labels of their own, `kept` those that are written again.
    """
    taken = [f"text from {' and '.join(repr(name) for name in source.text_columns)}"]
    label, rows = getattr(source, "label_column", ""), ""
    if label and isinstance(source, Sized):
        taken.append(f"label from {label!r}")
        rows = "1 row; " if len(source) == 1 else f"{len(source):,} rows; "
    if source.delimiter not in ("", ","):
        taken.append(f"{source.delimiter!r} between fields")
    if source.encoding:
        taken.append(source.encoding)
    tell([f"{path}: {rows}{', '.join(taken)}", *(f"  {said}" for said in (*source.doubts, source.left_out) if said)])
    if tasks:
        tell([f"  labels of tasks from {' and '.join(repr(name) for name in tasks)}"])
    used = {*source.text_columns, label, *tasks, *kept}
    others = [repr(name) for name in source.column_names if name.strip() and name not in used]
    if others:
        more = f" and {len(others) - SHOWN_COLUMNS} more" if len(others) > SHOWN_COLUMNS else ""
        tell([f"  not used: {', '.join(others[:SHOWN_COLUMNS])}{more}"])


def check_outputs(outputs: Sequence[Path | None], *, inputs: Sequence[Path | None], overwrite: bool) -> None:
    """Raises DataError where writing would lose something: known before the work, not after it."""
    from textcnn.errors import DataError

    written: set[Path] = set()
    for path in filter(None, outputs):
        place = path.resolve()
        if place in written:
            raise DataError(f"{path} is named twice; each output needs a file of its own")
        if any(source and source.resolve() == place for source in inputs):
            raise DataError(f"{path} is read, so it is not written; name another file")
        if path.is_dir():
            raise DataError(f"{path} is a folder; give the path of a file")
        if not place.parent.is_dir():
            raise DataError(f"cannot write {path}: there is no folder {path.parent}")
        if not os.access(place if path.exists() and not path.is_file() else place.parent, os.W_OK):
            raise DataError(f"cannot write {path}: no permission to write in {path.parent}")
        if path.is_file() and not overwrite:
            raise DataError(f"{path} exists already; name another file, or pass --overwrite")
        written.add(place)


def write_whole(path: Path, content: str) -> None:
    """A file that appears when it is complete. Raises DataError."""
    from textcnn.errors import DataError
    from textcnn.files import replacing

    try:
        with replacing(path) as file:
            file.write_text(content, "utf-8", "replace")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A function to call with what is being done and the share of everything that is behind; shown on a terminal."""
    from textcnn.progress_bar import ProgressBar

    with ProgressBar(wanted=not quiet) as bar:
        yield bar.show


@contextmanager
def texts_bar(*, quiet: bool) -> Iterator[Callable[[int, float | None], None]]:
    """A function to call with the texts just done and the share of the input that is behind them, if known."""
    from textcnn.progress_bar import ProgressBar

    done, started = 0, time.perf_counter()
    with ProgressBar(wanted=not quiet) as bar:

        def figures() -> tuple[str, str]:
            return f"{done:,} texts", f"{done / (time.perf_counter() - started):,.0f} texts/s"

        def advance(count: int, share: float | None) -> None:
            nonlocal done
            done += count
            bar.show(figures()[0], share, figures()[1])

        yield advance
        if bar.shown:
            bar.write(", ".join(figures()))


def shown_path(path: Path) -> Path:
    """As short as it can be said here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def typed_path(path: Path) -> str:
    """The same as it is typed in a shell, where a space ends a word and a dash begins an option."""
    shown = str(shown_path(path))
    return shlex.quote(f"./{shown}" if shown.startswith("-") else shown)
