"""Everything that the report shows, as plain values: the page and the JSON hold the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textcnn.classifier import TextClassifier
from textcnn.data.columns import shorten
from textcnn.data.label_rows import LabelRows, Labels
from textcnn.data.readers import Examples
from textcnn.doctor.check import Checkup
from textcnn.errors import EngineError
from textcnn.explain.label_ngrams import WeighedNgram
from textcnn.report.behaviour import behaviour
from textcnn.report.questions import Question, questions_of
from textcnn.report.slices import by_columns, by_length
from textcnn.types import TEXT_BREAK, Explanation, Floats, Offsets

# Called with what is being done and the share of everything that is behind, 0 to 1.
Tell = Callable[[str, float], None]
# Texts of the confusion matrix that the page can show, the most confident ones: of one cell at most, at least; of all.
MOST_IN_A_CELL, FEWEST_IN_A_CELL, MOST_IN_CELLS = 50, 3, 3000
WORST = 25
NGRAMS = 8
MOST_CHECKED = 2000
# Of a longer text the page has the beginning: in lists, and where its evidence is shown.
TEXT_CHARACTERS, EVIDENCE_CHARACTERS = 1000, 5000
BARS = 30  # of the histogram of lengths
FILTERS, FILTER_NGRAMS, NGRAM_CHARACTERS = 60, 6, 80
LABEL_NGRAMS = 12
TEXTS_AT_ONCE = 1024
# What a reader may look for and not find.
_UNCALIBRATED = (
    "Probabilities are as the network gives them: calibration, abstaining, label sets and familiarity are for models "
    "that give one label to a text."
)
NOTES = {
    "multi_label": (
        _UNCALIBRATED,
        "A label is given from a probability on that training chose for it on validation texts. A text counts as right "
        "with exactly its labels.",
    ),
    "multi_task": (_UNCALIBRATED, "Each task is measured on the texts that have a label of it."),
}


def report_figures(
    model: TextClassifier,
    examples: Examples,
    labels: Labels,
    checkup: Checkup | None,
    *,
    tell: Tell = lambda what, share: None,
) -> dict[str, Any]:
    """Figures, curves, slices and examples of `model` on `examples`, whose labels suit its head.

    With a multi_task head, `tasks` holds of each task what otherwise stands beside it, on the texts that have a label
    of it. Raises DataError where there are none.
    """
    probabilities = _probabilities(model, examples.texts, lambda share: tell("predicting", 0.4 * share))
    tell("figures", 0.4)
    rows = LabelRows.read(labels, model.head["type"], model.artifact_.config.data.label_separator)
    views: dict[str, dict[str, Any]] = {}
    questions = questions_of(model, rows, probabilities)
    for number, question in enumerate(questions):
        begun, part = 0.4 + 0.35 * number / len(questions), 0.35 / len(questions)
        named = f"behaviour {question.task}".strip()

        def tell_share(share: float, begun: float = begun, part: float = part, named: str = named) -> None:
            tell(named, begun + part * share)

        views[question.task] = _view(model, examples, question, tell_share)
    tell("filters", 0.75)
    filters = _filters(model, _some(examples.texts))
    tell("done", 1.0)
    common = {
        "model": model.name,
        "version": model.version,
        "head": model.head["type"],
        "rows": len(examples),
        "notes": list(NOTES.get(model.head["type"], ())),
        "history": list(model.metrics_.get("history") or []),
        "best_epoch": model.metrics_.get("best_epoch"),
        "calibration": model.metrics_.get("calibration"),
        "ngrams": _ngrams(model),
        "filters": filters,
        "data": checkup.to_dict() if checkup else None,
    }
    if rows.tasks:
        return {**common, "tasks": views}
    return {**common, **views[""]}


def _view(
    model: TextClassifier, examples: Examples, question: Question, tell: Callable[[float], None]
) -> dict[str, Any]:
    """What the page shows of one question: its figures and curves, its mistakes, and what changes them."""
    own = question.rows.tolist()
    texts = [examples.texts[i] for i in own]
    lengths = model.artifact_.tokenizer.encode(texts).lengths
    table = examples.table.take(own)
    checks = behaviour(question, _some(texts), tell=tell)
    return {
        **question.figures(),
        "cells": _cells(examples, question),
        "lengths": _histogram(lengths),
        "slices": {
            "length in tokens": by_length(lengths, question.right),
            **by_columns(table, question.right, without=[*examples.text_columns, *question.columns(examples)]),
        },
        "worst": _worst(model, examples, question),
        "behaviour": checks,
    }


def _some(texts: Sequence[str]) -> list[str]:
    chosen = np.sort(np.random.default_rng(0).permutation(len(texts))[:MOST_CHECKED])
    return [texts[i] for i in chosen.tolist()]


def _probabilities(model: TextClassifier, texts: Sequence[str], tell: Callable[[float], None]) -> Floats:
    parts = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        tell(first / len(texts))
        parts.append(model.predict_proba(texts[first : first + TEXTS_AT_ONCE]))
    return np.concatenate(parts)


def _ngrams(model: TextClassifier) -> list[dict[str, Any]] | None:
    """Of each label the n-grams beside the network that speak most for it and against it; None where there are none."""
    if model.artifact_.wide is None:
        return None

    def shown(ngrams: Sequence[WeighedNgram]) -> list[dict[str, Any]]:
        return [{"text": shorten(" ".join(one.tokens), NGRAM_CHARACTERS), "weight": one.weight} for one in ngrams]

    found = model.ngrams(top_n=LABEL_NGRAMS)
    return [{"label": one.label, "for": shown(one.speak_for), "against": shown(one.against)} for one in found]


def _filters(model: TextClassifier, texts: Sequence[str]) -> dict[str, Any]:
    """The most influential filters on these texts, and which of all are of no use; or why there are none to show."""
    try:
        found = model.filters(texts, top_n=FILTER_NGRAMS)
    except EngineError as error:
        return {"why_not": str(error)}
    return {
        "texts": len(texts),
        "count": len(found),
        "dead": sorted(one.number for one in found if one.dead),
        "alike": sorted([one.number, one.duplicate_of] for one in found if one.duplicate_of is not None),
        "shown": [
            {
                "number": one.number,
                "width": one.width,
                "label": one.label,
                "vote": round(max(one.votes), 4),
                "active": round(one.active or 0.0, 4),
                "influence": round(one.influence or 0.0, 5),
                "dead": one.dead,
                "duplicate_of": one.duplicate_of,
                "ideal": list(one.ideal),
                "ngrams": [
                    {"text": shorten(example.text, NGRAM_CHARACTERS), "activation": round(example.activation, 4)}
                    for example in one.examples
                ],
            }
            for one in found[:FILTERS]
        ],
    }


def _cells(examples: Examples, question: Question) -> dict[str, list[dict[str, Any]]]:
    """Texts by `true,predicted` cell of the confusion matrix, the most confident first."""
    most = int(
        np.clip(MOST_IN_CELLS // max(len({cell[:2] for cell in question.cells}), 1), FEWEST_IN_A_CELL, MOST_IN_A_CELL)
    )
    cells: dict[str, list[dict[str, Any]]] = {}
    for true, said, row, probability in sorted(question.cells, key=lambda cell: -cell[3]):
        cell = cells.setdefault(f"{true},{said}", [])
        if len(cell) < most:
            cell.append(
                {
                    "row": int(examples.row_numbers[row]),
                    "text": shorten(examples.texts[row], TEXT_CHARACTERS),
                    "probability": round(probability, 4),
                }
            )
    return cells


def _worst(model: TextClassifier, examples: Examples, question: Question) -> list[dict[str, Any]]:
    """The most confident mistakes with the n-grams that speak for the label given, or for the one that was missed."""
    worst = sorted(question.mistakes, key=lambda mistake: -mistake.probability)[:WORST]
    if not worst:
        return []
    texts = [examples.texts[mistake.row] for mistake in worst]
    explained = model.explain(texts, labels=[question.output(mistake.about) for mistake in worst], top_n=NGRAMS)
    return [
        {
            "row": int(examples.row_numbers[mistake.row]),
            "label": mistake.label,
            "predicted": mistake.predicted,
            "probability": round(mistake.probability, 4),
            "about": mistake.about,
            "missed": mistake.missed,
            "text": text.replace(TEXT_BREAK, "\n")[:EVIDENCE_CHARACTERS],
            "characters": len(text),
            "exact": explanation.exact,
            "evidence": [mark for mark in marks(explanation.in_record(text)) if mark["end"] <= EVIDENCE_CHARACTERS],
        }
        for mistake, text, explanation in zip(worst, texts, explained, strict=True)
    ]


def marks(explanation: Explanation) -> list[dict[str, Any]]:
    """Characters from and to, and what they add to the label's logit; in the order of the text, none in another.

    Of n-grams that overlap, the stronger one is kept.
    """
    taken: list[dict[str, Any]] = []
    for ngram in sorted(explanation.ngrams, key=lambda n: -abs(n.contribution)):
        if ngram.end > ngram.start and all(ngram.end <= old["start"] or ngram.start >= old["end"] for old in taken):
            taken.append({"start": ngram.start, "end": ngram.end, "adds": round(ngram.contribution, 4)})
    return sorted(taken, key=lambda mark: int(mark["start"]))


def _histogram(lengths: Offsets) -> list[dict[str, int]]:
    """How many texts have so many tokens; the longest hundredth in the last bar."""
    longest = max(int(np.quantile(lengths, 0.99)), 1)
    edges = np.unique(np.linspace(0, longest + 1, min(BARS, longest + 1) + 1).astype(int))
    counts, _ = np.histogram(np.minimum(lengths, longest), edges)
    return [
        {"from": int(low), "to": int(high) - 1, "texts": int(texts)}
        for low, high, texts in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def summary_line(figures: dict[str, Any]) -> str:
    """For the terminal; with several tasks a line of each."""
    if "tasks" in figures:
        return "\n".join(f"{task}: {summary_line(view)}" for task, view in figures["tasks"].items())
    measured: dict[str, Any] = figures["figures"]
    low, high = measured["intervals"]["accuracy"]
    weakest: Sequence[Any] = min(
        ((row["f1"], name) for name, row in measured["labels"].items() if row["texts"]), default=(0.0, "")
    )
    return (
        f"accuracy {measured['accuracy']:.1%} ({low:.1%} to {high:.1%}) on {measured['texts']:,} texts, "
        f"calibration error {measured['ece']:.1%}; weakest label {weakest[1]!r} with F1 {weakest[0]:.1%}"
    )
