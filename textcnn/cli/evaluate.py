"""textcnn evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    tell_unknown_labels,
    write_whole,
)
from textcnn.cli.settings import as_trained, expecting_columns, read_rows

if TYPE_CHECKING:
    from textcnn.classifier import TextClassifier
    from textcnn.data.readers import Examples

CHANGES = ("worse", "better", "wrong before and after")
CHANGED_COLUMNS = (
    *("row", "change", "label", "model_label", "model_probability", "against_label", "against_probability", "text"),
)

EPILOG = """\b
Examples:
  textcnn evaluate models/support test.csv
  textcnn evaluate models/support/2 test.csv --against models/support/1 --changed changed.csv
  textcnn evaluate models/support/1 test.csv --json | jq .accuracy
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option("--against", type=FILE, metavar="MODEL", help="Another model, to tell whether MODEL is really better.")
@click.option(
    "--changed", type=FILE, metavar="FILE.csv", help="With --against: write the texts that get another label by MODEL."
)
@click.option("--overwrite", is_flag=True, help="Replace that file if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@quiet_option
@engine_options
@reading_options(labels=True)
def evaluate(
    model: Path, data: Path, against: Path | None, changed: Path | None, overwrite: bool, as_json: bool, quiet: bool,
    running: dict[str, Any], **reading: Any,
) -> None:  # fmt: skip
    """Measure MODEL (a model folder) on the labelled texts of DATA."""
    from textcnn.classifier import TextClassifier

    if changed and not against:
        raise click.UsageError("--changed is what differs from another model; name it with --against")
    check_outputs([changed], inputs=[data], overwrite=overwrite)
    classifier = TextClassifier.load(model, **running)
    other = TextClassifier.load(against, **running) if against else None
    trained = classifier.artifact_.config
    with expecting_columns(trained, labels=True):
        examples, labels = read_rows(data, as_trained(trained, reading), quiet=False)
    texts = examples.texts
    tell_known_file(data, classifier)
    with progress_bar(quiet=quiet) as told:
        figures = classifier.evaluate(texts, labels, tell=lambda share: told("predicting", share))
    if running["table_precision"] != "float32":
        exact = TextClassifier.load(model, **{**running, "table_precision": "float32"})
        with progress_bar(quiet=quiet) as told:
            of_exact = exact.evaluate(texts, labels, tell=lambda share: told("with float32 tables", share))
        figures["float32_accuracy"] = of_exact["accuracy"]
    if other:
        with progress_bar(quiet=quiet) as told:
            compared = classifier.compare(other, texts, labels, tell=lambda share: told("comparing", share))
        figures["against"] = {"model": other.name, "version": other.version, **compared}
        if changed:
            tell([_write_changed(changed, classifier, other, examples)])
    if as_json:
        click.echo(json.dumps({"model": classifier.name, "version": classifier.version, **figures}, ensure_ascii=False))
        return
    for line in _summary(figures):
        click.echo(line)
    tell_unknown_labels(figures)
    if "micro_f1" in figures:
        click.echo(
            f"a text counts as right with exactly its labels; micro F1 {figures['micro_f1']:.2%}, "
            f"mean F1 of a text {figures['samples_f1']:.2%}, calibration error of the labels {figures['ece']:.2%}"
        )
    for task, own in figures.get("tasks", {"": figures}).items():
        if task:
            click.echo(f"\n{task}: accuracy {own['accuracy']:.2%}, macro F1 {own['macro_f1']:.2%}")
        _table(own["labels"])
    if other:
        click.echo(_comparison(f"{classifier.name}/{classifier.version}", f"{other.name}/{other.version}", figures))


def _write_changed(path: Path, model: TextClassifier, other: TextClassifier, examples: Examples) -> str:
    """The texts to which both give different labels as CSV, those that got worse first; a sentence on how many."""
    import csv
    import io

    rows = []
    for number, text, label, own, before in zip(
        examples.row_numbers.tolist(), examples.texts, examples.labels,
        model.classify(examples.texts), other.classify(examples.texts), strict=True,
    ):  # fmt: skip
        if own.label != before.label:
            change = "worse" if before.label == label else "better" if own.label == label else "wrong before and after"
            given = (own.label, round(own.probability, 6), before.label, round(before.probability, 6))
            rows.append((number, change, label, *given, text))
    rows.sort(key=lambda row: CHANGES.index(row[1]))
    file = io.StringIO()
    file.write(examples.dialect.start.decode())
    writer = csv.writer(file, delimiter=examples.dialect.delimiter, lineterminator="\n")
    writer.writerow(CHANGED_COLUMNS)
    writer.writerows(rows)
    write_whole(path, file.getvalue())
    counts = ", ".join(f"{sum(row[1] == change for row in rows):,} {change}" for change in CHANGES)
    texts = "1 text gets" if len(rows) == 1 else f"{len(rows):,} texts get"
    return f"{texts} another label ({counts}): {path}"


def _table(labels: dict[str, Any]) -> None:
    width = max(len("label"), *(len(name) for name in labels))
    click.echo(f"{'label':<{width}}  precision  recall      F1   texts")
    for name, row in labels.items():
        click.echo(
            f"{name:<{width}}  {row['precision']:9.1%}  {row['recall']:6.1%}  {row['f1']:6.1%}  {row['texts']:6,}"
        )


def _summary(figures: dict[str, Any]) -> list[str]:
    loss = "" if figures["loss"] is None else f", log loss {figures['loss']:.4f}"
    lines = [
        f"accuracy {figures['accuracy']:.2%}, macro F1 {figures['macro_f1']:.2%}{loss} on {figures['texts']:,} texts"
    ]
    if "intervals" in figures:
        low, high = figures["intervals"]["accuracy"]
        lines += [
            f"with so many texts the accuracy is known to lie between {low:.1%} and {high:.1%} (95 % interval)",
            f"Matthews correlation {figures['mcc']:.3f}, calibration error {figures['ece']:.2%} "
            f"(so many texts leave {figures['ece_by_chance']:.2%} to chance)"
            + ("" if figures["brier"] is None else f", Brier score {figures['brier']:.4f}")
            + ("" if figures["roc_auc"] is None else f", area under ROC {figures['roc_auc']:.4f}"),
        ]
    if figures.get("top"):
        tops = ", ".join(f"{k} most probable {share:.1%}" for k, share in figures["top"].items())
        lines.append(f"the right label is among the {tops}")
    if figures.get("scale"):
        scale = figures["scale"]
        lines.append(
            f"ordered labels are missed by {scale['mean_distance']:.2f} steps on average, {scale['within_one']:.1%} by "
            f"one at most; quadratic kappa {scale['quadratic_kappa']:.3f}"
        )
    for depth, share in enumerate(figures.get("levels", ()), start=1):
        lines.append(f"level {depth} of the labels: accuracy {share:.2%}")
    if "float32_accuracy" in figures:
        lines.append(f"accuracy with float32 tables {figures['float32_accuracy']:.2%}")
    return lines


def _comparison(first: str, second: str, figures: dict[str, Any]) -> str:
    found = figures["against"]
    low, high = found["interval"]
    verdict = "more than chance explains" if found["p_value"] < 0.05 else "no more than chance may explain"
    return (
        f"{first} against {second}: {100 * found['difference']:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f}); "
        f"only the first is right on {found['only_first_right']:,} texts, only the second on "
        f"{found['only_second_right']:,}: {verdict} (McNemar's exact test, p = {found['p_value']:.3g})"
    )
