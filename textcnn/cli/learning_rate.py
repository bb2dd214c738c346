"""textcnn learning-rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import FILE, NumberRange, progress_bar, quiet_option, reading_options, tell
from textcnn.cli.settings import configure, read_labelled, settings_options

SHOWN = 16
WIDTH = 40

EPILOG = """\b
Examples:
  textcnn learning-rate reviews.csv
  textcnn learning-rate reviews.csv --preset residual train.optimizer=sgd
"""


@click.command("learning-rate", epilog=EPILOG)
@click.argument("data", type=FILE)
@settings_options
@click.option("--lowest", type=NumberRange(0, min_open=True), default=1e-5, show_default=True, help="First rate.")
@click.option("--highest", type=NumberRange(0, min_open=True), default=10.0, show_default=True, help="Last rate.")
@click.option("--steps", type=click.IntRange(10, 10_000), default=150, show_default=True, help="Rates to try.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@quiet_option
@reading_options(labels=True)
def learning_rate(
    data: Path, overrides: tuple[str, ...], config_file: Path | None, preset: str | None, lowest: float, highest: float,
    steps: int, as_json: bool, quiet: bool, **reading: Any,
) -> None:  # fmt: skip
    """Find a learning rate for DATA: raise it step by step and see where the loss falls fastest."""
    from textcnn.train.learning_rate import learning_rates, suggested_rate

    if highest <= lowest:
        raise click.UsageError(f"--highest is {highest:g}, which is not above --lowest {lowest:g}")
    config = configure(config_file, preset, overrides, reading=reading)
    texts, labels, config = read_labelled(data, config, as_json)
    with progress_bar(quiet=quiet) as told:
        found = learning_rates(
            config, texts, labels, lowest=lowest, highest=highest, steps=steps,
            tell=lambda share: told("trying rates", share),
        )  # fmt: skip
    suggested = suggested_rate(found)
    if as_json:
        click.echo(json.dumps({"suggested": suggested, "rates": [rate for rate, _ in found],
                               "losses": [loss for _, loss in found]}))  # fmt: skip
        return
    most = max(loss for _, loss in found)
    click.echo(f"{'rate':>9}  loss")
    for rate, loss in found[:: max(1, len(found) // SHOWN)]:
        click.echo(f"{rate:9.2g}  {loss:.3f} {'#' * round(WIDTH * loss / most)}")
    click.echo(f"the loss falls fastest at {suggested:.2g}")
    tell([f"take it with train.learning_rate={suggested:.1g}"])
