"""Everything that the report shows, as plain values: the page and the JSON hold the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.answers import is_single
from textcnn.classifier import TextClassifier
from textcnn.data.columns import shorten
from textcnn.data.readers import Examples
from textcnn.doctor.check import Checkup
from textcnn.errors import DataError, EngineError
from textcnn.evaluation.curves import precision_recall, risk_coverage, roc
from textcnn.evaluation.metrics import confusion, encode_labels, evaluate_predictions
from textcnn.evaluation.reliability import diagram
from textcnn.report.behaviour import behaviour
from textcnn.report.slices import by_columns, by_length
from textcnn.types import TEXT_BREAK, Explanation, Floats

# Called with what is being done and the share of everything that is behind, 0 to 1.
Tell = Callable[[str, float], None]
# Texts of the confusion matrix that the page can show, the most confident ones: of one cell at most, at least; of all.
MOST_IN_A_CELL, FEWEST_IN_A_CELL, MOST_IN_CELLS = 50, 3, 3000
WORST = 25
NGRAMS = 8
MOST_CHECKED = 2000
# Of a longer text the page has the beginning: in lists, and where its evidence is shown.
TEXT_CHARACTERS, EVIDENCE_CHARACTERS = 1000, 5000
FILTERS, FILTER_NGRAMS, NGRAM_CHARACTERS = 60, 6, 80
TEXTS_AT_ONCE = 1024


def report_figures(
    model: TextClassifier, examples: Examples, checkup: Checkup | None, *, tell: Tell = lambda what, share: None
) -> dict[str, Any]:
    """Figures, curves, slices and examples of `model` on `examples`. Raises DataError for several labels a text."""
    check_reported(model)
    probabilities = _probabilities(model, examples.texts, lambda share: tell("predicting", 0.4 * share))
    every, truth, known = encode_labels(examples.labels, model.labels)
    predicted = probabilities.argmax(axis=1)
    right, confidence = predicted == truth, probabilities.max(axis=1)
    of_known, targets = probabilities[known], truth[known]
    tell("figures", 0.4)
    figures = evaluate_predictions(examples.labels, probabilities, model.labels)
    counts = confusion(truth, predicted, len(every))
    lengths = model.artifact_.tokenizer.encode(examples.texts).lengths
    tell("behaviour", 0.5)
    chosen = np.sort(np.random.default_rng(0).permutation(len(examples))[:MOST_CHECKED])
    some = [examples.texts[i] for i in chosen.tolist()]
    checks = behaviour(model, some, tell=lambda share: tell("behaviour", 0.5 + 0.25 * share))
    tell("filters", 0.75)
    filters = _filters(model, some)
    tell("evidence", 0.95)
    worst = _worst(model, examples, probabilities, right)
    tell("done", 1.0)
    return {
        "model": model.name,
        "version": model.version,
        "labels": every,
        "rows": len(examples),
        "figures": figures,
        "history": list(model.metrics_.get("history") or []),
        "best_epoch": model.metrics_.get("best_epoch"),
        "calibration": model.metrics_.get("calibration"),
        "confusion": counts.tolist(),
        "cells": _cells(examples, truth, predicted, confidence, len(every)),
        "reliability": diagram(of_known, targets) if known.any() else [],
        "roc": roc(of_known, targets, model.labels),
        "precision_recall": precision_recall(of_known, targets, model.labels),
        "risk_coverage": risk_coverage(confidence, right),
        "lengths": _histogram(lengths),
        "slices": {
            "length in tokens": by_length(lengths, right),
            **by_columns(examples.table, right, without=[*examples.text_columns, examples.label_column]),
        },
        "worst": worst,
        "filters": filters,
        "behaviour": checks,
        "data": checkup.to_dict() if checkup else None,
    }


def check_reported(model: TextClassifier) -> None:
    """Raises DataError for a model that gives several labels to a text."""
    if not is_single(model.head):
        raise DataError(
            f"the report is for models that give one label to a text; this one has a {model.head['type']} head. "
            "textcnn evaluate measures it"
        )


def _probabilities(model: TextClassifier, texts: Sequence[str], tell: Callable[[float], None]) -> Floats:
    parts = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        tell(first / len(texts))
        parts.append(model.predict_proba(texts[first : first + TEXTS_AT_ONCE]))
    return np.concatenate(parts)


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


def _cells(
    examples: Examples,
    truth: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    confidence: Floats,
    classes: int,
) -> dict[str, list[dict[str, Any]]]:
    """Texts by `true,predicted` cell of the confusion matrix, the most confident first."""
    order = np.argsort(-confidence, kind="stable").tolist()
    filled = len(np.unique(truth * classes + predicted))
    most = int(np.clip(MOST_IN_CELLS // filled, FEWEST_IN_A_CELL, MOST_IN_A_CELL))
    cells: dict[str, list[dict[str, Any]]] = {}
    for i in order:
        cell = cells.setdefault(f"{truth[i]},{predicted[i]}", [])
        if len(cell) < most:
            cell.append(
                {
                    "row": int(examples.row_numbers[i]),
                    "text": shorten(examples.texts[i], TEXT_CHARACTERS),
                    "probability": round(float(confidence[i]), 4),
                }
            )
    return cells


def _worst(
    model: TextClassifier, examples: Examples, probabilities: Floats, right: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The most confident mistakes with the n-grams that speak for the label given."""
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST].tolist()
    if not wrong:
        return []
    texts = [examples.texts[i] for i in wrong]
    return [
        {
            "row": int(examples.row_numbers[i]),
            "label": examples.labels[i],
            "predicted": explanation.label,
            "probability": round(explanation.probability, 4),
            "text": text.replace(TEXT_BREAK, "\n")[:EVIDENCE_CHARACTERS],
            "characters": len(text),
            "exact": explanation.exact,
            "evidence": [mark for mark in marks(explanation.in_record(text)) if mark["end"] <= EVIDENCE_CHARACTERS],
        }
        for i, text, explanation in zip(wrong, texts, model.explain(texts, top_n=NGRAMS), strict=True)
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


def _histogram(lengths: npt.NDArray[np.int64], *, bars: int = 30) -> list[dict[str, int]]:
    """How many texts have so many tokens; the longest hundredth in the last bar."""
    longest = max(int(np.quantile(lengths, 0.99)), 1)
    edges = np.unique(np.linspace(0, longest + 1, min(bars, longest + 1) + 1).astype(int))
    counts, _ = np.histogram(np.minimum(lengths, longest), edges)
    return [
        {"from": int(low), "to": int(high) - 1, "texts": int(texts)}
        for low, high, texts in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def summary_line(figures: dict[str, Any]) -> str:
    """For the terminal."""
    measured: dict[str, Any] = figures["figures"]
    low, high = measured["intervals"]["accuracy"]
    weakest: Sequence[Any] = min(
        ((row["f1"], name) for name, row in measured["labels"].items() if row["texts"]), default=(0.0, "")
    )
    return (
        f"accuracy {measured['accuracy']:.1%} ({low:.1%} to {high:.1%}) on {measured['texts']:,} texts, "
        f"calibration error {measured['ece']:.1%}; weakest label {weakest[1]!r} with F1 {weakest[0]:.1%}"
    )
