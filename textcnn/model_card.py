"""What a person should know before using a model, as Markdown: the README.md of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textcnn.config import RunConfig


def model_card(
    title: str, config: RunConfig, metrics: Mapping[str, Any], *, labels: Sequence[str], vocabulary: int, abstains: bool
) -> str:
    """The card of a model with these `labels` (none: an encoder) and as many tokens in its `vocabulary`.

    `metrics` are what training, calibration and evaluation measured; `abstains`: whether it has thresholds.
    """
    lines = [
        f"# {title}",
        "",
        _kind(config, labels),
        "",
        *(f"- `{name}`" for name in labels),
        "",
        "## How good it is",
        "",
        *_figures(metrics),
        "",
        f"The figures hold for texts like those it was trained on. {_sureness(metrics, abstains)}",
        "",
        "## What it is",
        "",
        *_parts(config, vocabulary),
        *_wide(config, metrics),
        f"- training: {metrics.get('training_texts', 0):,} texts, {_epochs(metrics)}",
        "",
        "## How to use it",
        "",
        "```",
        *_commands(config, labels),
        "```",
        "",
    ]
    return "\n".join(lines)


def _kind(config: RunConfig, labels: Sequence[str]) -> str:
    if not labels:
        return "An encoder, pre-trained by textcnn on texts without labels, to start training from."
    given = {"multi_label": "any of these labels", "multi_task": "a label of each task (task=label)"}
    kind = given.get(config.model.head["type"], "one of these labels")
    return f"A text classifier trained by textcnn. It gives {kind} to a text:"


def _figures(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {part} | {found['texts']:,} | {found['accuracy']:.1%} | "
        f"{'-' if found['loss'] is None else format(found['loss'], '.3f')} |"
        for part in ("validation", "test")
        if (found := metrics.get(part))
    ]
    return ["| data | texts | accuracy | log loss |", "|---|---|---|---|", *rows] if rows else ["Not evaluated."]


def _sureness(metrics: Mapping[str, Any], abstains: bool) -> str:
    """What its probabilities are worth, and whether it ever declines to answer."""
    sentence = "It answers every text, also of other kinds."
    if abstains:
        sentence = "It abstains where the probability of its answer is too small (`calibration.json`)."
    figures = metrics.get("calibration")
    if not figures:
        return sentence
    before, after = figures["before"], figures["after"]
    made, earlier = f"calibrated by {figures['method']}", f"before: {before['ece']:.1%}; "
    if figures["method"] == "none":
        made, earlier = "the plain softmax, measured", ""
    return (
        f"{sentence}\n\nIts probabilities are {made} on {figures['texts']:,} texts. There, "
        f"confidence and accuracy differ by {after['ece']:.1%} on average ({earlier}"
        f"with so many texts chance alone makes {after['ece_by_chance']:.1%})."
    )


def _parts(config: RunConfig, vocabulary: int) -> list[str]:
    """How texts are read, and the parts of the network."""
    text, model, embedding = config.text, config.model, config.model.embedding
    kept = {
        "head": f"the first {text.max_length} tokens",
        "tail": f"the last {text.max_length} tokens",
        "both": f"{text.max_length} tokens, half from each end,",
    }[text.truncation]
    blocks = ", ".join(
        f"{spec['type']} ({', '.join(f'{key} {value}' for key, value in spec.items() if key != 'type')})"
        for spec in model.blocks
    )
    return [
        f"- text: {text.tokenizer} tokens, {vocabulary:,} in the vocabulary, "
        f"{'lower-cased' if text.lowercase else 'case kept'}; {kept} of a text",
        *([f"- {_segments(config)}"] if model.join else []),
        f"- embedding: {embedding.mode}, {embedding.dim} dimensions"
        + (f", from {Path(embedding.vectors).name}" if embedding.vectors else "")
        + (f"; {embedding.characters.out_dim} more by the characters of each word" if embedding.spelled else ""),
        f"- blocks: {blocks}; pooling: {model.pooling['type']}; head: {model.head['type']}",
        *([f"- {_members(config.train.members)}"] if config.train.members > 1 else []),
    ]


def _wide(config: RunConfig, metrics: Mapping[str, Any]) -> list[str]:
    if not config.model.wide.ngrams or "wide" not in metrics:
        return []
    count, longest = metrics["wide"]["ngrams"], config.model.wide.ngrams
    spelled = metrics["wide"].get("character_ngrams")
    return [
        f"- beside the network: a linear classifier on {count:,} n-grams of up to {longest} tokens"
        + (f" and {spelled:,} of the characters of words" if spelled else "")
    ]


def _epochs(metrics: Mapping[str, Any]) -> str:
    """Which epoch the weights are of, or, of several members, which each has."""
    if "members" not in metrics:
        return f"best of {len(metrics.get('history', []))} epochs: {metrics.get('best_epoch', 0)}"
    best = ", ".join(str(member["best_epoch"]) for member in metrics["members"])
    return f"{len(metrics['history'])} epochs in all, best of each member: {best}"


def _members(count: int) -> str:
    return f"members: {count} such networks, trained apart, whose mean answers; here they are one network"


def _segments(config: RunConfig) -> str:
    """What is read by itself, and how it is joined."""
    join = config.model.join
    what = f"sentences ({config.text.language})"
    if config.text.segments == "columns":
        what = " and ".join(config.data.text_columns) or f"{join['texts']} texts together"
    return f"reads {what}, each by itself, joined by {join['type']}"


def _commands(config: RunConfig, labels: Sequence[str]) -> list[str]:
    if not labels:
        return ["textcnn train DATA --start-from .     # in this folder"]
    given = " ".join(['"a text"'] * config.model.texts_per_record)
    return [f"textcnn predict . {given}     # in this folder", "textcnn serve --model ."]
