"""textcnn vectors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import click

from textcnn.choices import VectorsKind
from textcnn.cli.common import FILE, check_outputs, progress_bar, read_options, reading_options, tell, tell_source

EPILOG = """\b
Examples:
  textcnn vectors train reviews.csv --output reviews.bin
  textcnn train labelled.csv --vectors reviews.bin --mode non-static
"""


@click.group(epilog=EPILOG)
def vectors() -> None:
    """Word vectors from texts of your own, which need no labels."""


@vectors.command("train", epilog=EPILOG)
@click.argument("data", type=FILE)
@click.option("--output", type=FILE, required=True, help="File to write, such as mine.bin.")
@click.option(
    "--kind",
    type=click.Choice(get_args(VectorsKind)),
    default="word2vec",
    show_default=True,
    help="fasttext also makes vectors for unseen words, of their parts; its files are larger.",
)
@click.option("--dim", type=click.IntRange(1, 2000), default=300, show_default=True, help="Numbers in a vector.")
@click.option("--window", type=click.IntRange(1, 50), default=5, show_default=True, help="Neighbours on each side.")
@click.option("--min-count", type=click.IntRange(min=1), default=5, show_default=True, help="Rarer words are left out.")
@click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True, help="Passes over the texts.")
@click.option("--cbow", is_flag=True, help="Words from their neighbours (faster) instead of neighbours from words.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; default one per core; 1 repeats.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed; the same vectors only with one thread.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--quiet", is_flag=True, help="Only the result.")
@reading_options(labels=False)
def train(
    data: Path, output: Path, kind: VectorsKind, dim: int, window: int, min_count: int, epochs: int, cbow: bool,
    threads: int, seed: int, overwrite: bool, quiet: bool, **reading: Any,
) -> None:  # fmt: skip
    """Train word vectors on the texts of DATA."""
    from textcnn.data.readers import read_examples
    from textcnn.text.train_vectors import train_vectors

    check_outputs([output], inputs=[data], overwrite=overwrite)
    examples = read_examples(data, read_options(**reading), labels=False)
    if not quiet:
        tell_source(data, examples)
    with progress_bar(quiet=quiet) as told:
        count = train_vectors(
            examples.texts, output, kind=kind, dim=dim, window=window, min_count=min_count, epochs=epochs,
            skip_gram=not cbow, threads=threads or os.cpu_count() or 1, seed=seed,
            tell=lambda share: told("reading texts", share),
        )  # fmt: skip
    click.echo(f"{count:,} words, {dim} numbers each: {output}")
    if not quiet:
        tell([f"use them: textcnn train DATA --vectors {output} --mode non-static"])
