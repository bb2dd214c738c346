"""textcnn report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import (
    FILE,
    check_outputs,
    engine_options,
    progress_bar,
    quiet_option,
    reading_options,
    tell,
    tell_known_file,
    write_whole,
)
from textcnn.cli.settings import as_trained, expecting_columns, options_of, read_rows

EPILOG = """\b
Examples:
  textcnn report models/support test.csv
  textcnn report models/support/1 test.csv --output support.html --json support.json

The page needs nothing but itself: mail it, put it anywhere, print it. It holds texts of DATA.
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option("--output", type=FILE, default=Path("report.html"), show_default=True, help="The page to write.")
@click.option("--json", "as_json", type=FILE, metavar="FILE.json", help="Write the same figures as JSON, too.")
@click.option("--overwrite", is_flag=True, help="Replace these files if they exist.")
@click.option("--no-check", is_flag=True, help="Leave out what the data doctor says of DATA.")
@quiet_option
@engine_options
@reading_options(labels=True)
def report(
    model: Path, data: Path, output: Path, as_json: Path | None, overwrite: bool, no_check: bool, quiet: bool,
    running: dict[str, Any], **reading: Any,
) -> None:  # fmt: skip
    """Write a page on how good MODEL is on the labelled texts of DATA, and where it fails."""
    from textcnn.classifier import TextClassifier
    from textcnn.doctor.check import check
    from textcnn.report.figures import report_figures, summary_line
    from textcnn.report.page import report_page

    check_outputs([output, as_json], inputs=[data], overwrite=overwrite)
    classifier = TextClassifier.load(model, **running)
    trained = classifier.artifact_.config
    config = as_trained(trained, reading)
    with expecting_columns(trained, labels=True):
        examples, labels = read_rows(data, config, quiet=False)
    tell_known_file(data, classifier)
    head = classifier.head["type"]
    if head == "multi_task":  # the doctor looks at one column of labels: textcnn check --label-column TASK
        no_check = True
    separator = trained.data.label_separator if head == "multi_label" else ""
    with progress_bar(quiet=quiet) as told:
        checkup = (
            None
            if no_check
            else check(data, options_of(config), separator=separator, tell=lambda what, share: told(what, share / 2))
        )
        begun = 0.0 if no_check else 0.5
        figures = report_figures(
            classifier, examples, labels, checkup, tell=lambda what, share: told(what, begun + share * (1 - begun))
        )
    write_whole(output, report_page(figures))
    if as_json:
        write_whole(as_json, json.dumps(figures, ensure_ascii=False) + "\n")
    click.echo(summary_line(figures))
    tell([f"wrote {' and '.join(str(path) for path in (output, as_json) if path)}"])
