"""textcnn pretrain."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from textcnn.choices import Rebuild
from textcnn.cli.common import FILE, read_options, reading_options, shown_path, tell, tell_source, typed_path
from textcnn.cli.settings import configure, settings_options

EPILOG = """\b
Examples:
  textcnn pretrain reviews.csv --output models/reviews-encoder/1
  textcnn train labelled.csv --start-from models/reviews-encoder

It learns to write the words of texts of which it sees only a part (a denoising autoencoder).
"""


@click.command(epilog=EPILOG)
@click.argument("data", type=FILE)
@click.option("--output", type=FILE, required=True, help="Folder for the encoder, such as models/<name>/<version>.")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@settings_options
@click.option(
    "--rebuild",
    type=click.Choice(get_args(Rebuild)),
    default="bag",
    show_default=True,
    help="What it learns to write: which words a text has, from the pooled vector, or which word stands where.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True, help="Passes over the texts.")
@click.option("--vectors", default="", help="Word vectors to begin with: word2vec, GloVe, fastText or gensim.")
@click.option("--device", default="", help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", type=int, help="Seed of weights, order and damage.")
@click.option("--quiet", is_flag=True, help="Only the result.")
@reading_options(labels=False)
def pretrain(
    data: Path, overrides: tuple[str, ...], output: Path, overwrite: bool, config_file: Path | None,
    preset: str | None, rebuild: Rebuild, epochs: int, vectors: str, device: str, seed: int | None,
    quiet: bool, **reading: Any,
) -> int:  # fmt: skip
    """Learn an encoder from the texts of DATA, which need no labels; train --start-from goes on from it."""
    from textcnn.artifact import check_place, write_artifact
    from textcnn.data.readers import read_examples
    from textcnn.train.interrupt import Interrupt
    from textcnn.train.pretrain import pretrain_encoder
    from textcnn.train.progress import Progress

    config = configure(
        config_file, preset, (f"train.max_epochs={epochs}", *overrides),
        reading={**reading, "label_column": ""}, vectors=vectors, mode="non-static" if vectors else None,
        device=device, seed=seed,
    )  # fmt: skip
    folder = output.absolute()
    check_place(folder, overwrite=overwrite)
    examples = read_examples(data, read_options(**reading), labels=False)
    if not quiet:
        tell_source(data, examples)
    with Interrupt(raising=True):
        artifact = pretrain_encoder(config, examples.texts, rebuild=rebuild, progress=Progress(quiet=quiet))
        write_artifact(folder, artifact, overwrite=overwrite)
    share = artifact.metrics["history"][-1]["train_accuracy"] if artifact.metrics["history"] else 0.0
    click.echo(f"words written right: {share:.1%}")
    click.echo(f"saved {shown_path(folder)}")
    if not quiet:
        tell([f"go on: textcnn train DATA --start-from {typed_path(folder)}"])
    return 130 if artifact.metrics["interrupted"] else 0
