"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from textcnn.data.readers import ReadOptions

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def reading_options(*, labels: bool) -> Callable[[Command], Command]:
    """--text-column and its companions; `read_options` turns them into one object."""
    options = [
        click.option("--text-column", multiple=True, metavar="NAME", help="Column with the text; repeat to join several. Guessed from the header."),
        click.option("--delimiter", default="", help="Field delimiter of a CSV file; detected."),
        click.option("--encoding", default="", help="Text encoding of the file; detected."),
        click.option("--bad-rows", type=click.Choice(["stop", "skip"]), default=None, help="Stop at rows that cannot be used (default), or set them aside in a file."),
    ]  # fmt: skip
    if labels:
        options.insert(
            1,
            click.option(
                "--label-column", default="", metavar="NAME", help="Column with the label. Guessed from the header."
            ),
        )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


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


def tell(lines: Iterable[str]) -> None:
    """Lines for the person, on standard error, so that standard output stays data."""
    for line in lines:
        click.echo(line, err=True)
