"""Whether a model answers otherwise than it used to: the population stability index (PSI) of its recent answers.

They are held against its answers to the validation texts, which the model keeps. Below 0.1 PSI is commonly called no
change, over 0.25 a large one; where there were few texts chance alone makes some, which is told as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

RECENT_TEXTS = 10_000  # of each process; texts before weigh less and less
LEAST_TEXTS = 200  # fewer say nothing

Counts = dict[str, float]  # by bin
Both = dict[str, Counts]  # of what: "label" or "confidence"


class Drift(NamedTuple):
    psi: float
    by_chance: float  # what to expect where nothing has changed


def label_bin(label: str | None) -> str:
    """None: no label was given."""
    return "" if label is None else f"={label}"


def confidence_bin(place: int) -> str:
    """Of a bin of textcnn.types.SHARES: two make one, as few texts fill few bins."""
    return str(place // 2)


def expected_counts(figures: Mapping[str, Any]) -> Both | None:
    """From what training measured; None where it kept nothing to hold answers against."""
    kept = figures.get("expected")
    if not kept or not kept["texts"]:
        return None
    labels = {label_bin(label): float(count) for label, count in kept["labels"].items()}
    if kept["unlabelled"]:
        labels[label_bin(None)] = float(kept["unlabelled"])
    confidence: Counts = {}
    for place, count in enumerate(kept["confidence"]):
        confidence[confidence_bin(place)] = confidence.get(confidence_bin(place), 0.0) + count
    return {"label": labels, "confidence": confidence}


def drift(recent: Counts, expected: Counts) -> Drift | None:
    """PSI of two histograms; None where there are too few texts to tell. Half a text is added to each bin."""
    bins = recent.keys() | expected.keys()
    here, there = sum(recent.values()), sum(expected.values())
    if here < LEAST_TEXTS or not there:
        return None
    psi = 0.0
    for name in bins:
        actual = (recent.get(name, 0.0) + 0.5) / (here + 0.5 * len(bins))
        usual = (expected.get(name, 0.0) + 0.5) / (there + 0.5 * len(bins))
        psi += (actual - usual) * math.log(actual / usual)
    # of two samples of the same: each bin but one adds the variances of both shares over the share
    return Drift(psi, (len(bins) - 1) * (1 / here + 1 / there))
