"""What the linear classifier beside a network has learned: the n-grams that speak for each label, and against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from textcnn.kernels.ngram_linear import NgramLinear, token_ids

DECIMALS = 4


@dataclass(frozen=True, slots=True)
class WeighedNgram:
    """Tokens as the vocabulary has them, and what the n-gram adds where a text holds nothing else that is known."""

    tokens: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class LabelNgrams:
    """The strongest n-grams of a label, strongest first; weights of `against` are negative."""

    label: str
    speak_for: tuple[WeighedNgram, ...]
    against: tuple[WeighedNgram, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def label_ngrams(wide: NgramLinear, tokens: Sequence[str], labels: Sequence[str], *, top_n: int) -> list[LabelNgrams]:
    """Of each label, in their order. `tokens` are those of the vocabulary."""
    weights = wide.weight.astype(np.float64) / wide.scale[:, None]
    found = []
    for label, weight in zip(labels, weights.T, strict=True):
        order = np.argsort(-weight, kind="stable")
        chosen = order[:top_n], order[::-1][:top_n]
        strongest = [
            tuple(
                WeighedNgram(tuple(tokens[token] for token in ids if token), round(float(weight[row]), DECIMALS))
                for row, ids in zip(rows.tolist(), token_ids(wide.keys[rows]).tolist(), strict=True)
                if weight[row] * sign > 0
            )
            for rows, sign in zip(chosen, (1, -1), strict=True)
        ]
        found.append(LabelNgrams(label, *strongest))
    return found
