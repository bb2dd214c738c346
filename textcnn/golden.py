"""Golden texts: answers that a model gave when it was written, to which whoever loads it holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textcnn.answers import most_probable
from textcnn.data.labels import LabelSet
from textcnn.errors import ArtifactError
from textcnn.types import Floats, join_texts

WORDS, WORDS_EACH = 96, 12  # of the vocabulary, in all and in each text
MOST_LABELS = 3  # of each text
# By how much a probability may differ from that when the model was written, by the precision of the tables: some ten
# times what was measured (docs/LOG.md, 2026-11-21); float32 leaves room for a GPU that multiplies in TF32.
TOLERANCES = {"float32": 0.002, "float16": 0.002, "int8": 0.05}
Ask = Callable[[list[str]], Floats]  # probabilities float32[texts, labels]


@dataclass(frozen=True, slots=True)
class Golden:
    """A text, and what its most probable labels had."""

    text: str
    probabilities: dict[str, float]


def ask_golden(ask: Ask, tokens: Sequence[str], labels: Sequence[str], *, texts_per_record: int) -> tuple[Golden, ...]:
    """Texts of words of the vocabulary (`tokens` by id), so that none of the training's is given away, with answers."""
    texts = [join_texts([text] * texts_per_record) for text in golden_texts(tokens)]
    best, scores = most_probable(ask(texts), MOST_LABELS)
    return tuple(
        Golden(text, {labels[place]: score for place, score in zip(row, found, strict=True)})
        for text, row, found in zip(texts, best.tolist(), scores.tolist(), strict=True)
    )


def golden_texts(tokens: Sequence[str]) -> list[str]:
    """Nothing, what a vocabulary rarely has, and words from all over this one."""
    words = [token for token in tokens[2:] if token.strip()]  # after <pad> and <unk>
    spread = words[:: max(1, len(words) // WORDS)][:WORDS]
    step = WORDS // WORDS_EACH
    mixed = [" ".join(spread[place::step]) for place in range(step)]
    return ["", "Ünknown wörd, 3.14! \U0001f600", *(text for text in mixed if text)]


def read_golden(given: Any, labels: LabelSet, path: Path) -> tuple[Golden, ...]:
    """From the manifest at `path`. Raises ArtifactError."""
    found = []
    for one in given if isinstance(given, list) else [None]:
        text = one.get("text") if isinstance(one, dict) else None
        probabilities = one.get("probabilities") if isinstance(one, dict) else None
        if (
            not isinstance(text, str)
            or not isinstance(probabilities, dict)
            or not probabilities.keys() <= set(labels.names)
            or not all(type(value) in (int, float) for value in probabilities.values())
        ):
            raise ArtifactError(f"{path} is damaged: golden is no list of texts with probabilities of its labels")
        found.append(Golden(text, probabilities))
    return tuple(found)


def golden_faults(golden: Sequence[Golden], ask: Ask, labels: Sequence[str], *, precision: str) -> list[str]:
    """What is answered otherwise now, a sentence each."""
    places = {label: place for place, label in enumerate(labels)}
    return [
        f"{one.text!r} has {row[places[label]]:.4f} for {label!r}, and had {probability:.4f}"
        for one, row in zip(golden, ask([one.text for one in golden]), strict=True)
        for label, probability in one.probabilities.items()
        # holds for what is no number too
        if not abs(float(row[places[label]]) - probability) <= TOLERANCES[precision]
    ]
