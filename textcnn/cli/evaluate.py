"""textcnn evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import FILE, read_options, reading_options, tell

EPILOG = """\b
Examples:
  textcnn evaluate models/support test.csv
  textcnn evaluate models/support/1 test.csv --json | jq .accuracy
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--engine", default="auto", show_default=True, help="auto, ngram_table or torch.")
@reading_options(labels=True)
def evaluate(model: Path, data: Path, as_json: bool, device: str, engine: str, **reading: Any) -> None:
    """Measure MODEL (a model folder) on the labelled texts of DATA."""
    from textcnn.classifier import TextClassifier
    from textcnn.data.readers import read_examples

    classifier = TextClassifier.load(model, device=device, engine=engine)
    examples = read_examples(data, read_options(**reading))
    tell(examples.notes)
    figures = classifier.evaluate(examples.texts, examples.labels)
    if as_json:
        click.echo(json.dumps({"model": classifier.name, "version": classifier.version, **figures}, ensure_ascii=False))
        return
    click.echo(
        f"accuracy {figures['accuracy']:.2%}, macro F1 {figures['macro_f1']:.2%}, log loss {figures['loss']:.4f} "
        f"on {figures['texts']:,} texts"
    )
    if figures["unknown_labels"]:
        tell([f"{figures['unknown_labels']:,} rows have a label that the model does not know; they count as wrong"])
    width = max(len("label"), *(len(name) for name in figures["labels"]))
    click.echo(f"{'label':<{width}}  precision  recall      F1   texts")
    for name, row in figures["labels"].items():
        click.echo(
            f"{name:<{width}}  {row['precision']:9.1%}  {row['recall']:6.1%}  {row['f1']:6.1%}  {row['texts']:6,}"
        )
