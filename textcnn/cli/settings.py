"""From files, flags and overrides to one checked configuration, for the commands that train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from textcnn.cli.common import FILE, Command, tell_source
from textcnn.presets import DEFAULT_PRESET

if TYPE_CHECKING:
    from textcnn.config import DataConfig, RunConfig
    from textcnn.data.label_rows import Labels
    from textcnn.data.readers import Examples, ReadOptions


def settings_options(command: Command) -> Command:
    """--config, --preset and single settings behind them, which `configure` puts together."""
    config = click.option("--config", "config_file", type=FILE, help="TOML or JSON file with settings.")
    preset = click.option(
        "--preset", help=f"Named settings to start from; textcnn presets lists them. Default: {DEFAULT_PRESET}."
    )
    overrides = click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
    return config(preset(overrides(command)))


def configure(
    config_file: Path | None, preset: str | None, overrides: Sequence[str],
    *, reading: dict[str, Any], vectors: str = "", mode: str | None = None, device: str = "", seed: int | None = None,
    start_from: str = "", label_separator: str = "", task_columns: Sequence[str] = (),
) -> RunConfig:  # fmt: skip
    """The preset, the file, the flags and the overrides, each over the one before. Raises ConfigError, ReadError.

    A separator or task columns choose the head that goes with them.
    """
    from textcnn.build import resolve
    from textcnn.config import merge, read_settings
    from textcnn.errors import ConfigError

    if task_columns and label_separator:
        raise ConfigError("--label-separator is for one column of labels, --task-column for several: choose one")
    values = read_settings(config_file) if config_file else {}
    in_file = str(values.pop("preset", DEFAULT_PRESET))
    flags = {
        "data": {
            "text_columns": list(reading["text_column"]), "label_column": reading["label_column"],
            "delimiter": reading["delimiter"], "encoding": reading["encoding"], "bad_rows": reading["bad_rows"],
            "seed": seed, "label_separator": label_separator, "task_columns": list(task_columns),
        },
        "train": {"device": device, "seed": seed, "start_from": start_from},
        "model": {
            "embedding": {"vectors": vectors, "mode": mode},
            "head": {"type": "multi_task" if task_columns else "multi_label" if label_separator else ""},
        },
    }  # fmt: skip
    values = merge(values, _given(flags))
    if start_from:
        from textcnn.train.transfer import with_source

        values = dict(with_source(values, preset or in_file))
    return resolve(values, preset=preset or in_file, overrides=overrides)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody said."""
    kept = {key: _given(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in ("", None, [], {})}


class Labelled(NamedTuple):
    """Texts and labels of a file, and the configuration with the columns that they were taken from."""

    texts: list[str]
    labels: Labels
    config: RunConfig


def read_labelled(path: Path, config: RunConfig, quiet: bool, *, like: DataConfig | None = None) -> Labelled:
    """The texts and labels of a file, as the configuration says; how it was taken is told unless `quiet`.

    What that leaves open is taken `like` in another file, if this one has such columns.

    Raises ReadError, ColumnError, BadRowsError; ConfigError where tasks need columns.
    """
    examples, labels = read_rows(path, config, quiet, like=like)
    taken = {"text_columns": examples.text_columns, "label_column": examples.label_column}
    return Labelled(examples.texts, labels, config.model_copy(update={"data": config.data.model_copy(update=taken)}))


def read_rows(path: Path, config: RunConfig, quiet: bool, *, like: DataConfig | None = None) -> tuple[Examples, Labels]:
    """The same with all columns and the numbers of the rows."""
    from textcnn.data.readers import read_examples
    from textcnn.errors import ColumnError, ConfigError

    by_task, tasks = config.model.head["type"] == "multi_task", config.data.task_columns
    if by_task and not tasks:
        raise ConfigError("a multi_task head needs data.task_columns: --task-column NAME, once for each task")
    options = options_of(config)
    if like:
        options = replace(options, usual_text=like.text_columns, usual_label=like.label_column)
    if by_task:
        options = replace(options, label_column="", columns_needed=tasks)
    try:
        examples = read_examples(path, options, labels=not by_task)
    except ColumnError as error:
        if not like:
            raise
        columns = [*like.text_columns, *(tasks if by_task else (like.label_column,))]
        raise ColumnError(f"{error}; or call its columns as in the other file: {', '.join(columns)}") from None
    if not quiet:
        tell_source(path, examples, tasks=tasks if by_task else ())
    return examples, {task: _column(examples.table, task) for task in tasks} if by_task else examples.labels


def options_of(config: RunConfig) -> ReadOptions:
    """How to read a file, as the configuration says."""
    from textcnn.data.readers import ReadOptions

    data = config.data
    return ReadOptions(
        text_columns=data.text_columns, label_column=data.label_column, delimiter=data.delimiter,
        encoding=data.encoding, bad_rows=data.bad_rows, apart=config.text.segments == "columns",
        label_separator=data.label_separator if config.model.head["type"] == "multi_label" else "",
    )  # fmt: skip


def as_trained(config: RunConfig, reading: dict[str, Any]) -> RunConfig:
    """A model's configuration for another file: its columns where no others are named, its format as that file's."""
    data = {
        "text_columns": reading["text_column"] or config.data.text_columns,
        "label_column": reading.get("label_column") or config.data.label_column,
        "delimiter": reading["delimiter"],
        "encoding": reading["encoding"],
        "bad_rows": reading["bad_rows"] or "stop",
    }
    return config.model_copy(update={"data": config.data.model_copy(update=data)})


@contextmanager
def expecting_columns(config: RunConfig, *, labels: bool = False) -> Iterator[None]:
    """Says of a column that is missing that the model was trained on it; `labels` where theirs is read, too."""
    from textcnn.errors import ColumnError

    try:
        yield
    except ColumnError as error:
        columns = " and ".join(repr(name) for name in config.data.text_columns)
        if not columns:
            raise
        said, options = f"{error}. The model was trained on {columns}", "--text-column names"
        if labels and config.data.label_column:
            said += f" with labels in {config.data.label_column!r}"
            options = "--text-column and --label-column name"
        raise ColumnError(f"{said}; {options} others") from None


def _column(table: Any, name: str) -> list[str]:
    """The labels of a task, "" where there is none."""
    from textcnn.data.columns import place_of

    column = table.column(place_of(name, table.column_names))
    return [(value or "").strip() for value in column.cast("string").to_pylist()]
