"""textcnn inspect."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import FILE, check_outputs, progress_bar, quiet_option, reading_options, tell, write_whole
from textcnn.cli.pieces import pieces_of, visible

FILTERS_SHOWN = 20

EPILOG = """\b
Examples:
  textcnn inspect models/support
  textcnn inspect models/support/1 --json | jq .layers
  textcnn inspect models/support --ngrams
  textcnn inspect models/support --filters --corpus mails.csv --html filters.html
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.option(
    "--tokens",
    type=click.IntRange(1, 100_000),
    default=32,
    show_default=True,
    help="Length of the text for which sizes and costs are shown.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option("--ngrams", is_flag=True, help="Show the n-grams that speak for each label, and against it.")
@click.option("--filters", is_flag=True, help="Show what the filters look for, instead of the layers.")
@click.option("--corpus", type=FILE, help="With --filters: a table of texts, for the n-grams that excite each filter.")
@click.option("--html", type=FILE, help="With --filters: write a page with search, for a browser.")
@click.option("--overwrite", is_flag=True, help="With --html: replace the file if it exists.")
@quiet_option
@click.option(
    "--top-n",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="With --filters and --ngrams: n-grams of each.",
)
@reading_options(labels=False)
def inspect(
    model: Path, tokens: int, as_json: bool, ngrams: bool, filters: bool, corpus: Path | None, html: Path | None,
    overwrite: bool, quiet: bool, top_n: int, **reading: Any,
) -> None:  # fmt: skip
    """Show the layers, vocabulary, labels and figures of MODEL (a model folder), its n-grams, or its filters."""
    if ngrams and filters:
        raise click.UsageError("--ngrams and --filters are two answers; ask for one")
    given = {"--corpus": corpus, "--html": html}
    for flag, value in given.items():
        if value and not filters:
            raise click.UsageError(f"{flag} is about the filters; add --filters")
    for flag, value in reading.items():
        if value and not corpus:
            raise click.UsageError(
                f"--{flag.replace('_', '-')} is about a table; give one with --filters --corpus FILE"
            )
    if filters:
        check_outputs([html], inputs=[corpus], overwrite=overwrite)
        _show_filters(model, corpus, html, top_n, as_json, quiet, reading)
    elif ngrams:
        _show_ngrams(model, top_n, as_json)
    else:
        _show_layers(model, tokens, as_json)


def _show_ngrams(model: Path, top_n: int, as_json: bool) -> None:
    from textcnn.classifier import TextClassifier

    classifier = TextClassifier.load(model)
    found = classifier.ngrams(top_n=top_n)
    if as_json:
        report = {
            "model": classifier.name,
            "version": classifier.version,
            "labels": classifier.labels,
            "ngrams": [one.to_dict() for one in found],
        }
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    for one in found:
        click.echo(one.label)
        for what, ngrams in (("for", one.speak_for), ("against", one.against)):
            shown = " | ".join(f"{visible(' '.join(ngram.tokens))} {ngram.weight:+.1f}" for ngram in ngrams)
            click.echo(f"  {what:<7}  {shown or 'nothing'}")


def _show_filters(
    model: Path, corpus: Path | None, html: Path | None, top_n: int, as_json: bool, quiet: bool, reading: dict[str, Any]
) -> None:
    from textcnn.classifier import TextClassifier

    classifier = TextClassifier.load(model)
    pieces = pieces_of((), corpus, reading)(classifier.artifact_.config).pieces if corpus else ()
    texts = [text for piece in pieces for text in piece.texts]
    with progress_bar(quiet=quiet or not texts) as told:
        found = classifier.filters(texts, top_n=top_n, tell=lambda share: told("filters", share))
    report = {
        "model": classifier.name,
        "version": classifier.version,
        "labels": classifier.labels,
        "texts": len(texts),
        "filters": [one.to_dict() for one in found],
    }
    if html:
        from textcnn.explain.filter_page import filter_page

        write_whole(html, filter_page(report))
        tell([f"saved {html}"])
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    dead, alike = sum(one.dead for one in found), sum(one.duplicate_of is not None for one in found)
    click.echo(
        f"{classifier.name}/{classifier.version}: {len(found)} filters, {dead} dead, {alike} alike another one\n"
    )
    width = max(len("votes for"), *(len(one.label) for one in found))
    click.echo(f"filter  width  {'votes for':<{width}}  {'excited most by' if texts else 'ideal n-gram'}")
    for one in found[:FILTERS_SHOWN]:
        excited = [" ".join(visible(example.text).split()) for example in one.examples[:4]] or [" ".join(one.ideal)]
        click.echo(f"{one.number:>6}  {one.width:>5}  {one.label:<{width}}  {' | '.join(excited)}")
    if len(found) > FILTERS_SHOWN:
        order = "greatest influence" if texts else "strongest votes"
        tell([f"the {FILTERS_SHOWN} with the {order} of {len(found)}; --html or --json for all"])


def _show_layers(model: Path, tokens: int, as_json: bool) -> None:
    from textcnn.artifact import read_artifact
    from textcnn.inference.torch_engine import artifact_network
    from textcnn.nn.summary import LayerSummary, summarize

    artifact = read_artifact(model)
    layers = summarize(artifact_network(artifact), tokens=tokens)
    if (wide := artifact.wide) is not None:
        classes = len(wide.bias)
        adds = tokens * wide.longest * classes  # at most: every n-gram is known
        spelled = wide.characters.weight.size if wide.characters else 0
        layers.append(LayerSummary("wide", "NgramLinear", (classes,), wide.weight.size + spelled + classes, adds))
    labels, words = artifact.labels.names, artifact.tokenizer.tokens
    frequent = words[2:22]  # behind <pad> and <unk>
    if as_json:
        report: dict[str, Any] = {
            "model": artifact.name,
            "version": artifact.version,
            "labels": labels,
            "vocabulary": len(words),
            "frequent_tokens": frequent,
            "tokens": tokens,
            "layers": [asdict(layer) for layer in layers],
            "metrics": artifact.metrics,
            "config": artifact.config.model_dump(mode="json"),
        }
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    click.echo(f"{artifact.name}/{artifact.version}: {len(labels)} labels, {len(words):,} tokens in the vocabulary\n")
    head = f"{'layer':<12} {'kind':<14} {'output':<14} {'parameters':>12} {'multiply-adds':>14}"
    click.echo(f"{head}   for a text of {tokens} tokens")
    for layer in layers:
        shape = " x ".join(str(size) for size in layer.output)
        click.echo(f"{layer.name:<12} {layer.kind:<14} {shape:<14} {layer.parameters:>12,} {layer.multiply_adds:>14,}")
    click.echo(f"{'total':<42} {sum(x.parameters for x in layers):>12,} {sum(x.multiply_adds for x in layers):>14,}\n")
    click.echo(f"labels: {', '.join(labels)}")
    click.echo(f"frequent tokens: {' '.join(frequent)}")
    for part in ("validation", "test"):
        figures = artifact.metrics.get(part)
        if figures:
            click.echo(f"{part}: accuracy {figures['accuracy']:.2%} on {figures['texts']:,} texts")
