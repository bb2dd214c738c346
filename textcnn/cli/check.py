"""textcnn check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import (
    FILE,
    check_outputs,
    label_separator_option,
    progress_bar,
    quiet_option,
    read_options,
    reading_options,
    tell,
    tell_source,
)

SHOWN_ROWS = 8
EPILOG = """\b
Examples:
  textcnn check reviews.csv
  textcnn check train.csv --test test.csv --suspects suspects.csv
  textcnn check reviews.csv --fix

The suspects come as a CSV file with row, problem, detail, label, suggested label and text. --fix writes a copy without
repeated and unusable rows and with one spelling for each label; the original stays as it is.

The exit code is 1 where a problem was found, 0 where there is none but warnings and notes.
"""


@click.command(epilog=EPILOG)
@click.argument("data", type=FILE)
@click.option("--test", type=FILE, help="Test texts, to look for those that stand in DATA too.")
@label_separator_option
@click.option("--suspects", type=FILE, metavar="FILE.csv", help="Write all rows that something was found about.")
@click.option("--fix", is_flag=True, help="Write a cleaned copy beside DATA: NAME.clean.csv.")
@click.option("--overwrite", is_flag=True, help="Replace these files if they exist.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@quiet_option
@reading_options(labels=True)
def check(
    data: Path,
    test: Path | None,
    label_separator: str,
    suspects: Path | None,
    fix: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **reading: Any,
) -> int:
    """Look for what is wrong with DATA (labelled texts) before anything is trained on it."""
    from textcnn.doctor import check as doctor
    from textcnn.doctor import fix as fixing
    from textcnn.errors import DataError

    clean = fixing.clean_copy_path(data) if fix else None
    if reading["bad_rows"]:
        raise click.UsageError("--bad-rows is for training; a check looks at every row and names those")
    if clean and suspects and clean.resolve() == suspects.resolve():
        raise DataError(f"--suspects {suspects} is where --fix writes; name another file")
    check_outputs([suspects, clean], inputs=[data, test], overwrite=overwrite)
    with progress_bar(quiet=quiet) as told:
        checkup = doctor.check(data, read_options(**reading), test=test, separator=label_separator, tell=told)
    # what else there is to say the findings tell
    tell_source(data, replace(checkup.examples, doubts=(), left_out=""))
    if as_json:
        click.echo(json.dumps(checkup.to_dict(), ensure_ascii=False))
    else:
        for line in _lines(data, checkup):
            click.echo(line)
    if suspects:
        tell([f"{fixing.write_suspects(suspects, checkup):,} suspect rows in {suspects}"])
    if fix:
        fixed = fixing.write_clean_copy(fixing.clean_copy_path(data), checkup)
        tell(
            [
                f"wrote {fixed.path} with {fixed.rows:,} rows: {fixed.repeated:,} repeated and "
                f"{fixed.unusable:,} unusable rows left out, {fixed.respelled:,} labels respelled"
            ]
        )
    return int(_has_problem(checkup))


def _has_problem(checkup: Any) -> bool:
    return any(found.level == "problem" for found in checkup.findings)


def _lines(data: Path, checkup: Any) -> Iterator[str]:
    from textcnn.doctor.findings import count

    yield f"{data}: {count(len(checkup.examples), 'usable row')}, {count(len(checkup.labels), 'label')}"
    marks = {"problem": ("PROBLEM", "red"), "warning": ("warning", "yellow"), "note": ("note", "blue")}
    for found in checkup.findings:
        word, color = marks[found.level]
        yield f"{click.style(f'{word:<8}', fg=color, bold=found.level == 'problem')} {found.message}"
        if found.suspects:
            rows = [suspect.row for suspect in found.suspects]
            more = f" and {len(rows) - SHOWN_ROWS:,} more" if len(rows) > SHOWN_ROWS else ""
            yield f"{'':<8} rows {', '.join(map(str, rows[:SHOWN_ROWS]))}{more}"
    if not _has_problem(checkup):
        yield "no problem found"
