"""The smallest change of words that gives a text another label: asked of the model itself, on real texts.

Greedy search over taking a word away or putting another in its place, then whatever turns out not to be needed is taken
back. Every changed text has been through tokenizer and network, so what is returned does flip the label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Change, Counterfactual, Floats

MOST_PLACES = 40  # words of a long text that are tried: those whose loss hurts the label most
MOST_WORDS = 40  # put in their place: those that by themselves speak most for the other label
VOCABULARY = 20_000  # most frequent words among which those are looked for
PROVEN = 2  # all single changes are tried, so that of two none can be spared

Probabilities = Callable[[Sequence[str]], Floats]
# place in the list of words -> what to write there
Edits = Mapping[int, str]


class Counterfactuals:
    """Finds counterfactuals for one model. `probabilities` are those of texts, float32[B, C], C at least 2."""

    def __init__(self, probabilities: Probabilities, tokenizer: Tokenizer, labels: Sequence[str]) -> None:
        self._probabilities, self._tokenizer, self._labels = probabilities, tokenizer, labels
        words = (token.removeprefix("▁") for token in tokenizer.tokens[2 : VOCABULARY + 2])
        self._words = [word for word in dict.fromkeys(words) if any(map(str.isalpha, word))]
        self._alone = (
            np.log(np.maximum(probabilities(self._words), 1e-30)) if self._words else np.zeros((0, len(labels)))
        )

    def find(self, text: str, *, target: int | None = None, most_changes: int = 5) -> Counterfactual | None:
        """The fewest changes found that make `target` (None: any other label) the most probable; None if none did."""
        (before,) = self._probabilities([text])
        label = int(before.argmax())
        if label == target:
            return None
        reading = self._tokenizer.read([text])
        spans = [(start, end) for start, end in reading.spans.tolist() if start < end]

        def changed(edits: Edits) -> str:
            pieces, last = [], 0
            for place in sorted(edits):
                start, end = spans[place]
                # without a word, one of the spaces around it goes too
                end += not edits[place] and text[end : end + 1] == " " and text[:start][-1:] in ("", " ")
                pieces += [text[last:start], edits[place]]
                last = end
            return "".join([*pieces, text[last:]])

        def lead(found: Floats) -> npt.NDArray[np.float64]:
            """By how much the other label is ahead of its strongest rival; positive where the label is flipped."""
            scores = np.log(np.maximum(found.astype(np.float64), 1e-30))
            one = label if target is None else target
            ahead: npt.NDArray[np.float64] = scores[:, one] - np.delete(scores, one, axis=1).max(axis=1)
            return -ahead if target is None else ahead

        def leads(several: Sequence[Edits]) -> npt.NDArray[np.float64]:
            return lead(self._probabilities([changed(edits) for edits in several]))

        if not spans:
            return None
        without = leads([{place: ""} for place in range(len(spans))])
        places = np.argsort(-without, kind="stable")[:MOST_PLACES].tolist()
        other = int(np.delete(before, label).argmax()) if target is None else target
        other += target is None and other >= label
        best = np.argsort(self._alone[:, label] - self._alone[:, other], kind="stable")[:MOST_WORDS]
        options = ["", *(self._words[i] for i in best.tolist())]
        edits: dict[int, str] = {}
        while len(edits) < min(most_changes, len(places)):
            tried = [{**edits, place: option} for place in places if place not in edits for option in options]
            ahead = leads(tried)
            flips = ahead.max() > 0
            if flips:  # a word less is less than another word
                removed = np.array([edit[list(edit)[-1]] == "" for edit in tried]) & (ahead > 0)
                ahead = np.where(removed, ahead, -np.inf) if removed.any() else ahead
            edits = tried[int(ahead.argmax())]
            if flips:
                return self._counterfactual(text, label, spans, _needed(edits, leads), changed)
        return None

    def _counterfactual(
        self, text: str, label: int, spans: Sequence[tuple[int, int]], edits: Edits, changed: Callable[[Edits], str]
    ) -> Counterfactual:
        written = changed(edits)
        (after,) = self._probabilities([written])
        index = int(after.argmax())
        changes = tuple(Change(*spans[place], text[slice(*spans[place])], edits[place]) for place in sorted(edits))
        return Counterfactual(
            self._labels[label], written, self._labels[index], float(after[index]), changes, len(edits) <= PROVEN
        )


def _needed(edits: Edits, leads: Callable[[Sequence[Edits]], npt.NDArray[np.float64]]) -> Edits:
    """The edits without those that can be taken back, one after the other."""
    while len(edits) > 1:
        fewer = [{place: new for place, new in edits.items() if place != gone} for gone in edits]
        ahead = leads(fewer)
        if ahead.max() <= 0:
            break
        edits = fewer[int(ahead.argmax())]
    return edits
