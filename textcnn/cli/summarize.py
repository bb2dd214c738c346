"""textcnn summarize."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textcnn.cli.common import FILE, NumberRange, engine_options, reading_options, texts_bar
from textcnn.cli.pieces import input_option, pieces_of, visible

if TYPE_CHECKING:
    from textcnn.types import Summary

EPILOG = """\b
Examples:
  textcnn summarize models/reviews "$(cat review.txt)"
  textcnn summarize models/reviews --input reviews.csv --sentences 2 > summaries.jsonl
  textcnn summarize models/reviews --input reviews.csv --share 0.2 --label negative
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@input_option
@click.option("--sentences", type=click.IntRange(min=1), default=3, show_default=True, help="Sentences kept at most.")
@click.option("--share", type=NumberRange(0, 1, min_open=True), help="Keep this share of the length instead, e.g. 0.2.")
@click.option("--label", help="What speaks for this label instead of the predicted one.")
@click.option("--language", help="Of the texts (ISO 639-1), for abbreviations; default: as the model was trained.")
@click.option("--json/--no-json", "as_json", default=None, help="JSON Lines, or for people; default: by the terminal.")
@engine_options
@reading_options(labels=False)
def summarize(
    model: Path, texts: tuple[str, ...], source: Path | None, sentences: int, share: float | None, label: str | None,
    language: str, as_json: bool | None, running: dict[str, Any], **reading: Any,
) -> None:  # fmt: skip
    """Keep the sentences of TEXTs, a file or lines of standard input that carry the label MODEL (a model folder) gives.

    Says of each sentence how much it adds to the label's lead over the strongest other one, and whether the sentences
    alone would get the same label.
    """
    from textcnn.classifier import TextClassifier

    open_pieces = pieces_of(texts, source, reading)
    as_json = not sys.stdout.isatty() if as_json is None else as_json
    classifier = TextClassifier.load(model, **running)
    asked: dict[str, Any] = {"sentences": sentences, "share": share, "labels": label, "language": language}
    classifier.summarize([""], **asked)  # a wrong label or a missing library is told before anything is read
    pieces = open_pieces(classifier.artifact_.config).pieces
    with texts_bar(quiet=bool(texts) or sys.stdout.isatty()) as advance:
        for chunk, at, _ in pieces:
            for text, summary in zip(chunk, classifier.summarize(chunk, **asked), strict=True):
                if as_json:
                    line = json.dumps({**summary.to_dict(), "characters": len(text)}, ensure_ascii=False)
                    click.echo(line.encode("utf-8", "replace"))
                else:
                    _write(summary)
            advance(len(chunk), at)


def _write(summary: Summary) -> None:
    kept = f"{len(summary.sentences)} of {summary.total} sentences"
    alone = f"alone {summary.summary_probability:.1%}{'' if summary.agrees else ', and another label'}"
    click.echo(f"{summary.label}  {summary.probability:.1%}; {kept}, {alone}")
    for sentence in summary.sentences:
        one_line = " ".join(visible(sentence.text).split())
        click.echo(f"  {sentence.contribution:+7.2f}  {one_line}".encode("utf-8", "replace"))
    click.echo()
