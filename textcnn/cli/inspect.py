"""textcnn inspect."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import FILE

EPILOG = """\b
Examples:
  textcnn inspect models/support
  textcnn inspect models/support/1 --json | jq .layers
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
def inspect(model: Path, tokens: int, as_json: bool) -> None:
    """Show the layers, vocabulary, labels and figures of MODEL (a model folder)."""
    from textcnn.artifact import read_artifact
    from textcnn.inference.torch_engine import artifact_network
    from textcnn.nn.summary import summarize

    artifact = read_artifact(model)
    layers = summarize(artifact_network(artifact), tokens=tokens)
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
