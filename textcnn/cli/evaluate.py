"""textcnn evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import (
    FILE,
    engine_options,
    read_options,
    reading_options,
    tell_unknown_labels,
)
from textcnn.cli.settings import read_with

EPILOG = """\b
Examples:
  textcnn evaluate models/support test.csv
  textcnn evaluate models/support/1 test.csv --json | jq .accuracy
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@engine_options
@reading_options(labels=True)
def evaluate(model: Path, data: Path, as_json: bool, running: dict[str, Any], **reading: Any) -> None:
    """Measure MODEL (a model folder) on the labelled texts of DATA."""
    from textcnn.classifier import TextClassifier

    classifier = TextClassifier.load(model, **running)
    texts, labels = read_with(data, read_options(**reading), classifier.artifact_.config, quiet=False)
    figures = classifier.evaluate(texts, labels)
    if running["table_precision"] != "float32":
        exact = TextClassifier.load(model, **{**running, "table_precision": "float32"})
        figures["float32_accuracy"] = exact.score(texts, labels)
    if as_json:
        click.echo(json.dumps({"model": classifier.name, "version": classifier.version, **figures}, ensure_ascii=False))
        return
    loss = "" if figures["loss"] is None else f", log loss {figures['loss']:.4f}"
    click.echo(
        f"accuracy {figures['accuracy']:.2%}, macro F1 {figures['macro_f1']:.2%}{loss} on {figures['texts']:,} texts"
    )
    if "float32_accuracy" in figures:
        click.echo(f"accuracy with float32 tables {figures['float32_accuracy']:.2%}")
    tell_unknown_labels(figures)
    if "micro_f1" in figures:
        click.echo(f"a text counts as right with exactly its labels; micro F1 {figures['micro_f1']:.2%}")
    for task, own in figures.get("tasks", {"": figures}).items():
        if task:
            click.echo(f"\n{task}: accuracy {own['accuracy']:.2%}, macro F1 {own['macro_f1']:.2%}")
        _table(own["labels"])


def _table(labels: dict[str, Any]) -> None:
    width = max(len("label"), *(len(name) for name in labels))
    click.echo(f"{'label':<{width}}  precision  recall      F1   texts")
    for name, row in labels.items():
        click.echo(
            f"{name:<{width}}  {row['precision']:9.1%}  {row['recall']:6.1%}  {row['f1']:6.1%}  {row['texts']:6,}"
        )
