"""textcnn explain."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from textcnn.choices import ExplanationMethod
from textcnn.cli.common import FILE, engine_options, reading_options, texts_bar
from textcnn.cli.pieces import input_option, pieces_of, visible

if TYPE_CHECKING:
    from textcnn.types import Counterfactual, Explanation, Ngram

SHOWN = 5
SPACE = "␣"  # for a token that would not be seen
TEXTS_AT_ONCE = 64  # explained before the first of them is written
# 256-colour backgrounds, faint to strong; black text is readable on all of them
FOR, AGAINST = (194, 157, 114), (224, 217, 210)

EPILOG = """\b
Examples:
  textcnn explain models/support "the courier left my parcel in the rain"
  textcnn explain models/support --label billing --label refund "charged twice"
  textcnn explain models/qrnn --method integrated_gradients "charged twice"
  textcnn explain models/support --counterfactual "I was charged twice"
  textcnn explain models/support --input mails.csv > evidence.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@input_option
@click.option(
    "--label", "labels", multiple=True, help="Explain this label instead of the predicted one; repeat for several."
)
@click.option(
    "--top-n", type=click.IntRange(min=0), help=f"Strongest n-grams told; default {SHOWN}, and all of them in JSON."
)
@click.option(
    "--method",
    type=click.Choice(get_args(ExplanationMethod)),
    help="How words get their contributions; default: n-grams where they are exact, else occlusion.",
)
@click.option("--counterfactual", is_flag=True, help="Also the smallest change of words that gives another label.")
@click.option("--json/--no-json", "as_json", default=None, help="JSON Lines, or for people; default: by the terminal.")
@engine_options
@reading_options(labels=False)
def explain(
    model: Path, texts: tuple[str, ...], source: Path | None, labels: tuple[str, ...], top_n: int | None,
    method: ExplanationMethod | None, counterfactual: bool, as_json: bool | None, running: dict[str, Any],
    **reading: Any,
) -> None:  # fmt: skip
    """Tell which words of TEXTs, a file or lines of standard input make MODEL (a model folder) give a label.

    Each n-gram is shown with what it adds to the score (logit) of the label, and its words with their parts of that;
    all of them and the label's bias make up the score. Where a network does not add up n-grams, each word is left out
    in turn, or --method says what is done instead, and the answer tells how far to trust it. On a terminal, words that
    speak for the label are green, those against it red.
    """
    from textcnn.classifier import TextClassifier
    from textcnn.types import split_texts

    open_pieces = pieces_of(texts, source, reading)
    as_json = not sys.stdout.isatty() if as_json is None else as_json
    classifier = TextClassifier.load(model, **running)
    classifier.artifact_.labels.encode(labels)  # raises LabelError before anything is read
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    pieces = open_pieces(classifier.artifact_.config).pieces
    with texts_bar(quiet=bool(texts) or sys.stdout.isatty()) as advance:
        for chunk, share, _ in pieces:
            for first in range(0, len(chunk), TEXTS_AT_ONCE):
                some = chunk[first : first + TEXTS_AT_ONCE]
                # all n-grams are needed to colour a text
                most = top_n if as_json else None
                columns = [
                    classifier.explain(some, labels=label, top_n=most, method=method) for label in labels or [None]
                ]
                rows = zip(*columns, strict=True)
                changed = classifier.counterfactuals(some) if counterfactual else [None] * len(some)
                for text, explanations, other in zip(some, rows, changed, strict=True):
                    if as_json:
                        beside = {"counterfactual": other and other.to_dict()} if counterfactual else {}
                        given = split_texts(text) if classifier.texts_per_record > 1 else text
                        _write_json(given, explanations, beside)
                        continue
                    _write(text, explanations, SHOWN if top_n is None else top_n, coloured)
                    if counterfactual:
                        _write_change(other)
            advance(len(chunk), share)


def _write_json(text: str | list[str], explanations: Iterable[Explanation], beside: dict[str, Any]) -> None:
    for explanation in explanations:
        line = json.dumps({"text": text, **explanation.to_dict(), **beside}, ensure_ascii=False)
        click.echo(line.encode("utf-8", "replace"))


def _write(text: str, explanations: Sequence[Explanation], shown: int, coloured: bool) -> None:
    for explanation in explanations:
        shown_text = _marked(text, explanation.in_record(text)) if coloured else visible(text)
        click.echo((shown_text or "(an empty text)").encode("utf-8", "replace"))
        ngrams = explanation.ngrams[:shown]
        names = [_one_line(ngram) for ngram in ngrams]
        width = max(map(len, names), default=0)
        method = "" if explanation.exact else f", by {explanation.method.replace('_', ' ')}{_trust(explanation)}"
        click.echo(f"  {explanation.label}  {explanation.probability:.1%}{method}")
        for ngram, name in zip(ngrams, names, strict=True):
            parts = "  ".join(
                f"{_word(token.text)}{'' if token.known else ' (unknown)'} {token.contribution:+.2f}"
                for token in ngram.tokens
            )
            click.echo(f"  {ngram.contribution:+7.2f}  {name:<{width}}  {parts}".rstrip().encode("utf-8", "replace"))
        others = sum(ngram.contribution for ngram in explanation.ngrams[shown:]) + explanation.rest
        count = len(explanation.ngrams) - len(ngrams)
        what = f"{count} weaker n-grams" if explanation.exact else "weaker words, and what words alone do not explain"
        if count or not explanation.exact:
            click.echo(f"  {others:+7.2f}  {what}")
        click.echo(f"  {explanation.bias:+7.2f}  bias\n  {explanation.logit:+7.2f}  score")
        if explanation.unread:
            start, end = explanation.unread
            which = "" if explanation.unread_segment is None else f" of text {explanation.unread_segment + 1}"
            click.echo(f"  not read, for the text is too long: characters {start:,} to {end:,}{which}")
        click.echo()


def _write_change(found: Counterfactual | None) -> None:
    if found is None:
        click.echo("  no small change of words gives another label\n")
        return
    changes = ", ".join(
        f"{change.old!r} {f'changed to {change.new!r}' if change.new else 'left out'}" for change in found.changes
    )
    told = f"  would be {found.label}, {found.probability:.1%}, with {changes}: {visible(found.text)}\n"
    click.echo(told.encode("utf-8", "replace"))


def _word(text: str) -> str:
    return SPACE if text.isspace() else visible(text)


def _one_line(ngram: Ngram) -> str:
    """As it stands in the text; of several texts with the number of its own before it."""
    which = "" if ngram.segment is None else f"{ngram.segment + 1}: "
    return which + " ".join(visible(ngram.text).split())


def _trust(explanation: Explanation) -> str:
    assert explanation.faithfulness is not None
    if not explanation.ngrams:
        return ""
    return (
        f": leaving the strongest words out first leaves {explanation.faithfulness.deletion:.0%} of the probability "
        f"on average, adding them first gives {explanation.faithfulness.insertion:.0%}"
    )


def _marked(text: str, explanation: Explanation) -> str:
    """The text with every character on a background by what its words add in all n-grams; unread ones are dim."""
    added = [0.0] * len(text)
    for ngram in explanation.ngrams:
        # where words cannot be told apart, an n-gram is coloured as a whole
        parts = [(token.start, token.end, token.contribution) for token in ngram.tokens]
        for start, end, contribution in parts or [(ngram.start, ngram.end, ngram.contribution)]:
            for at in range(start, end):
                added[at] += contribution
    text = visible(text)
    strongest = max(map(abs, added), default=0.0) or 1.0
    unread = range(*explanation.unread) if explanation.unread else range(0)
    styles = [_style(value / strongest, at in unread) for at, value in enumerate(added)]
    pieces, start = [], 0
    for at in range(1, len(text) + 1):
        if at == len(text) or styles[at] != styles[start]:
            pieces.append(click.style(text[start:at], **styles[start]) if styles[start] else text[start:at])
            start = at
    return "".join(pieces)


def _style(share: float, unread: bool) -> dict[str, Any]:
    if unread:
        return {"dim": True}
    level = int(abs(share) * (len(FOR) + 0.99))
    return {"bg": (FOR if share > 0 else AGAINST)[level - 1], "fg": 16} if level else {}
