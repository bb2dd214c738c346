"""What evidence costs beside plain prediction, on one core; whether it is exact; what a summary keeps.

What limits it. Finding the windows that won costs the engine about a fifth more than their values alone; adding up 300
contributions a text and listing its n-grams is the rest. Columns (arrays) keep that pace; Python objects, one for each
n-gram and each of its tokens, cost many times the network.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.data import mr_model, read_csv
from benchmarks.machine import interleave, pinned, say
from textcnn import TextClassifier
from textcnn.explain.explainer import evidence_of

EXACT = 1e-5
LIMITS = {
    "explain_over_predict": "strings to labels with every n-gram, its characters and contribution, as arrays, over "
    "strings to labels: the windows that won, then adding up",
    "objects_over_predict": "the same as Python objects for the 5 strongest n-grams: making objects",
}


def run(*, data: Path, quick: bool = False) -> dict[str, Any]:
    """Everything on one core."""
    texts, _ = read_csv(data / "mr" / "all.csv")
    texts = texts[:500] if quick else texts[:10_000]
    folder = mr_model(data, epochs=1 if quick else 4)
    with pinned(1):
        model = TextClassifier.load(folder, threads=1)
        result = costs(model, texts, rounds=2 if quick else 9) | exactness(model, texts) | one_text(model, texts[:2000])
    return {**result, "limits": LIMITS, "machine": machine.describe()}


def costs(model: TextClassifier, texts: Sequence[str], *, rounds: int) -> dict[str, Any]:
    """Ratios of medians, in turn."""
    say("costs ...")
    some = texts[:1000]
    seconds = interleave(
        {
            "predict": lambda: model.predict(texts),
            "explain": lambda: evidence_of(model._engine, model.artifact_.tokenizer, texts),
            "objects": lambda: model.explain(some, top_n=5),
        },
        rounds,
    )
    return {
        "explain_over_predict": seconds["explain"] / seconds["predict"],
        "objects_over_predict": seconds["objects"] / len(some) / (seconds["predict"] / len(texts)),
        "texts_per_second": {
            "predict": len(texts) / seconds["predict"],
            "explain": len(texts) / seconds["explain"],
            "objects": len(some) / seconds["objects"],
        },
    }


def exactness(model: TextClassifier, texts: Sequence[str]) -> dict[str, Any]:
    """The share of texts whose contributions and bias make up the logit within 1e-5."""
    say("exactness ...")
    worst = np.array(
        [
            abs(e.bias + sum(ngram.contribution for ngram in e.ngrams) + e.rest - e.logit)
            for first in range(0, len(texts), 1000)
            for e in model.explain(texts[first : first + 1000])
        ]
    )
    return {
        "exact_share": float((worst <= EXACT).mean()),
        "largest_difference": float(worst.max()),
        "texts": len(texts),
    }


def one_text(model: TextClassifier, texts: Sequence[str]) -> dict[str, Any]:
    """Microseconds of explain([text], top_n=5) and of predict([text]), a different text every time."""
    say("one text at a time ...")
    calls = {"explain": lambda text: model.explain([text], top_n=5), "predict": lambda text: model.predict([text])}
    times: dict[str, list[int]] = {name: [] for name in calls}
    for text in texts:
        for name, call in calls.items():
            began = time.perf_counter_ns()
            call(text)
            times[name].append(time.perf_counter_ns() - began)
    return {"one_text_us": {name: float(np.median(values)) / 1000 for name, values in times.items()}}
