"""What evidence costs beside plain prediction, on one core; whether it is exact; what a summary keeps.

What limits it. Where the largest window is costs the engine about a tenth more than its value alone; adding up 300
contributions a text and listing its n-grams, in the first-level cache, another fifth. Columns (arrays) keep that pace;
Python objects, one for each n-gram and each of its tokens, cost many times the network.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.data import imdb_model, mr_model, read_csv
from benchmarks.machine import interleave, pinned, say
from textcnn import TextClassifier
from textcnn.explain.explainer import evidence_of
from textcnn.text.segments import split_sentences

EXACT = 1e-5
SENTENCES = 3
LIMITS = {
    "explain_over_predict": "strings to labels with every n-gram, its characters and contribution, as arrays, over "
    "strings to labels: the windows that won, then adding up",
    "objects_over_predict": "the same as Python objects for the 5 strongest n-grams: making objects",
    "summary_agreement": "IMDb test reviews whose 3 sentences alone get the label of the whole; chosen because they "
    "speak for it, so compare it with the length that is left",
}


def run(*, data: Path, quick: bool = False) -> dict[str, Any]:
    """Everything on one core."""
    texts, _ = read_csv(data / "mr" / "all.csv")
    texts = texts[:500] if quick else texts[:10_000]
    folder = mr_model(data, epochs=1 if quick else 4)
    about = machine.describe()
    with pinned(1):
        model = TextClassifier.load(folder, threads=1)
        result = costs(model, texts, rounds=2 if quick else 9) | exactness(model, texts) | one_text(model, texts[:2000])
    result |= summaries(data, reviews=200 if quick else 5000, epochs=1 if quick else 2)
    return {**result, "limits": LIMITS, "machine": about}


def costs(model: TextClassifier, texts: Sequence[str], *, rounds: int) -> dict[str, Any]:
    """Ratios of medians, in turn."""
    say("costs ...")
    some = texts[:1000]
    seconds = interleave(
        {
            "predict": lambda: model.predict(texts),
            "explain": lambda: list(evidence_of(model._fitted().engine, model.artifact_.tokenizer, texts)),
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
    calls: dict[str, Callable[[str], object]] = {
        "explain": lambda text: model.explain([text], top_n=5),
        "predict": lambda text: model.predict([text]),
    }
    times: dict[str, list[int]] = {name: [] for name in calls}
    for text in texts:
        for name, call in calls.items():
            began = time.perf_counter_ns()
            call(text)
            times[name].append(time.perf_counter_ns() - began)
    return {"one_text_us": {name: float(np.median(values)) / 1000 for name, values in times.items()}}


def summaries(data: Path, *, reviews: int, epochs: int) -> dict[str, Any]:
    """How many reviews of IMDb's test keep their label when 3 sentences are left; random and first ones beside ours."""
    folder = imdb_model(data, epochs=epochs)
    say("summaries ...")
    draw = random.Random(0)
    texts = draw.sample(read_csv(data / "imdb" / "test.csv.gz")[0], reviews)
    model = TextClassifier.load(folder)
    whole, ours = model.predict(texts), model.summarize(texts, sentences=SENTENCES)
    ways: dict[str, Callable[[list[tuple[int, int]]], list[tuple[int, int]]]] = {
        "random": lambda bounds: sorted(draw.sample(bounds, min(SENTENCES, len(bounds)))),
        "first": lambda bounds: bounds[:SENTENCES],
        "last": lambda bounds: bounds[-SENTENCES:],
    }
    agreement = {"ours": float(np.mean([summary.agrees for summary in ours]))}
    for name, pick in ways.items():
        left = [" ".join(text[a:b] for a, b in pick(split_sentences(text, "en"))) for text in texts]
        agreement[name] = float(np.mean([a == b for a, b in zip(model.predict(left), whole, strict=True)]))
    return {
        "summary_agreement": agreement["ours"],
        "summary_agreement_by_way": agreement,
        "summary_length": float(np.mean([len(s.text) / len(text) for s, text in zip(ours, texts, strict=True)])),
        "sentences_per_review": float(np.mean([summary.total for summary in ours])),
        "reviews": reviews,
    }
