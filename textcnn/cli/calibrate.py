"""textcnn calibrate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import click

from textcnn.choices import CalibrationMethod
from textcnn.cli.common import (
    FILE,
    NumberRange,
    progress_bar,
    quiet_option,
    reading_options,
    shown_path,
    tell,
    tell_known_file,
)
from textcnn.cli.settings import as_trained, expecting_columns, read_labelled

EPILOG = """\b
Examples:
  textcnn calibrate models/support validation.csv
  textcnn calibrate models/support validation.csv --abstain-precision 0.95
  textcnn calibrate models/support/1 validation.csv --method isotonic --abstain-f1 --output models/support/2

Training does the first by itself where it has validation texts. DATA must be texts that training has not seen, and not
those of the final test. The weights stay as they are. What does not lower the log loss of texts that it was not fitted
on is not kept: then probabilities are the plain softmax.
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option(
    "--method",
    type=click.Choice(get_args(CalibrationMethod)),
    default="temperature",
    show_default=True,
    help="One number for all labels, two for each, a curve for each (from 1,000 texts or so), or the plain softmax.",
)
@click.option(
    "--abstain-precision",
    type=NumberRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Abstain so often that this share of the answers is right.",
)
@click.option("--abstain-f1", is_flag=True, help="Abstain so often that the F1 of each label is highest.")
@click.option("--by-label", is_flag=True, help="With --abstain-precision: reach it for each label by itself.")
@click.option("--output", type=FILE, help="Folder of the new model; default: the next version beside MODEL.")
@click.option("--overwrite", is_flag=True, help="Replace that folder if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@quiet_option
@reading_options(labels=True)
def calibrate(
    model: Path, data: Path, method: CalibrationMethod, abstain_precision: float | None, abstain_f1: bool,
    by_label: bool, output: Path | None, overwrite: bool, as_json: bool, quiet: bool, **reading: Any,
) -> None:  # fmt: skip
    """Fit the probabilities of MODEL to DATA, labelled texts it was not trained on, and save it as a new version."""
    from textcnn.answers import is_single
    from textcnn.artifact import check_place, find_version, last_version
    from textcnn.classifier import TextClassifier
    from textcnn.data.labels import listing
    from textcnn.train.record import file_facts

    if abstain_precision and abstain_f1:
        raise click.UsageError("give --abstain-precision or --abstain-f1, not both")
    if by_label and not abstain_precision:
        raise click.UsageError("--by-label goes with --abstain-precision")
    classifier = TextClassifier.load(model)
    home = find_version(model).parent
    folder = (output or home / str(last_version(home) + 1)).absolute()
    check_place(folder, overwrite=overwrite)
    trained = classifier.artifact_.config
    with expecting_columns(trained, labels=True):
        texts, given, _ = read_labelled(data, as_trained(trained, reading), quiet=False)
    tell_known_file(data, classifier)
    labels: Any = given  # calibrate says which heads it is for
    if is_single(classifier.head) and (unseen := sorted(set(classifier.labels).difference(given))):
        tell([f"  no text has the label {listing(unseen)}: nothing is learned of it"])
    with progress_bar(quiet=quiet) as told:
        figures: dict[str, Any] = classifier.calibrate(
            texts, labels, method=method, tell=lambda share: told("predicting", share)
        )
    lines = [_before_and_after(figures)]
    if abstain_precision or abstain_f1:
        goal: Any = {"goal": "f1"} if abstain_f1 else {"value": abstain_precision, "by_label": by_label}
        figures = {**figures, "abstaining": classifier.set_abstaining(texts, labels, **goal)}
        lines += _abstaining(figures["abstaining"])
        reached = figures["abstaining"]["precision"]
        if abstain_precision and (reached is None or reached < abstain_precision):
            there = "none is answered" if reached is None else f"{reached:.2%}"
            tell([f"the goal of {abstain_precision:.1%} is missed on texts that did not choose the threshold "
                  f"({there}): give more texts, or expect less"])  # fmt: skip
    files = {**classifier.metrics_.get("files", {}), "calibration": file_facts(data)["sha256"]}
    classifier.record("files", files)
    classifier.save(folder, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(line)
    shown = shown_path(folder)
    tell([f"saved {shown}"])


def _before_and_after(figures: dict[str, Any]) -> str:
    before, after = figures["before"], figures["after"]
    if figures["method"] != figures["tried"]:
        return (
            f"{figures['tried']} on {figures['texts']:,} texts does not lower the log loss by cross-fitting "
            f"({before['loss']:.4f} before, {figures['tried_loss']:.4f} after): plain softmax is kept"
        )
    rows = [
        ("calibration error", before["ece"], after["ece"], ".2%"),
        ("  same, equal bins", before["ece_adaptive"], after["ece_adaptive"], ".2%"),
        ("  of it by chance", before["ece_by_chance"], after["ece_by_chance"], ".2%"),
        ("Brier score", before["brier"], after["brier"], ".4f"),
        ("log loss", before["loss"], after["loss"], ".4f"),
    ]
    lines = [f"{figures['method']} on {figures['texts']:,} texts, figures by cross-fitting"]
    lines.append(f"{'':<20}{'before':>10}{'after':>10}")
    lines += [f"{name:<20}{first:>10{form}}{second:>10{form}}" for name, first, second, form in rows]
    return "\n".join(lines)


def _abstaining(figures: dict[str, Any]) -> list[str]:
    thresholds = figures["thresholds"]
    if len(set(thresholds.values())) == 1:
        lines = [f"answers from probability {next(iter(thresholds.values())):.3f} on"]
    else:
        width = max(map(len, thresholds))
        lines = ["answers a label from this probability on:"]
        lines += [
            f"  {name:<{width}}  {'never' if value > 1 else f'{value:.3f}'}" for name, value in thresholds.items()
        ]
    right = "nothing is answered" if figures["precision"] is None else f"{figures['precision']:.1%} of that is right"
    lines.append(
        f"answers {figures['answered']:.1%} of the texts, {right} "
        f"(cross-fitted; answering all: {figures['precision_of_all']:.1%})"
    )
    return lines
