"""Explanations of texts, by whichever way is exact for the network that answers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from textcnn.explain.ngram_evidence import Evidence, ngram_evidence
from textcnn.explain.occlusion import occlude
from textcnn.text.tokenizers import Reading, Tokenizer
from textcnn.types import (
    UNKNOWN_ID,
    Explanation,
    Floats,
    Ngram,
    TokenBatch,
    TokenPart,
    Winners,
    split_texts,
    text_begins,
)

TEXTS_AT_ONCE = 1024
CUT = " … "
Targets = npt.NDArray[np.int64]
Probabilities = Callable[[Floats], Floats]


class Model(Protocol):
    """What runs the network; see textcnn.inference.engine."""

    def logits(self, batch: TokenBatch) -> Floats: ...

    def winners(self, batch: TokenBatch) -> Winners | None: ...


def explain_texts(
    model: Model,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    probabilities: Probabilities,
    targets: Targets | None = None,
    top_n: int | None = None,
) -> list[Explanation]:
    """The explanation of logits[i, targets[i]] of every text i; without targets, of the most probable label.

    `probabilities` turns logits float32[B, classes] into float32[B, classes]. See TextClassifier.explain.
    """
    explained: list[Explanation] = []
    apart = tokenizer.segments == "columns"
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        part = slice(first, first + TEXTS_AT_ONCE)
        some, wanted = texts[part], None if targets is None else targets[part]
        reading = tokenizer.read(some)
        winners = model.winners(reading.batch)
        if winners is None:
            explained += _by_occlusion(model, reading, labels, some, probabilities, wanted, top_n, apart)
        else:
            explained += _by_ngrams(winners, reading, labels, some, probabilities, wanted, top_n, apart)
    return explained


def evidence_of(
    model: Model, tokenizer: Tokenizer, texts: Sequence[str]
) -> Iterator[tuple[Reading, Targets, Evidence]]:
    """The n-grams behind the largest logit of every text, as columns: what explain_texts has before it makes objects.

    Some texts at a time: their tokens and characters, the class index of the label, the n-grams. Only for models whose
    engine knows the winners.
    """
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        reading = tokenizer.read(texts[first : first + TEXTS_AT_ONCE])
        winners = model.winners(reading.batch)
        assert winners is not None
        targets = winners.logits.argmax(1)
        yield reading, targets, ngram_evidence(reading.batch, winners, targets)


def _by_ngrams(
    winners: Winners, reading: Reading, labels: Sequence[str], texts: Sequence[str],
    probabilities: Probabilities, targets: Targets | None, top_n: int | None, apart: bool,
) -> list[Explanation]:  # fmt: skip
    batch, rows = reading.batch, np.arange(len(texts))
    found = probabilities(winners.logits)
    targets = found.argmax(1) if targets is None else targets
    evidence = ngram_evidence(batch, winners, targets, slots=winners.word_parts is not None)
    text = np.repeat(rows, np.diff(evidence.offsets))
    # strongest first within each text
    order = np.lexsort((-np.abs(evidence.contributions), text))
    rank = np.arange(len(order)) - evidence.offsets[text]
    kept = order if top_n is None else order[rank < top_n]
    bounds = np.searchsorted(text[kept], np.arange(len(texts) + 1)).tolist()
    left_out = evidence.contributions.copy()
    left_out[kept] = 0.0
    rest = np.bincount(text, left_out, minlength=len(texts)).tolist()
    parts: list[list[float]] | list[None] = [None] * len(kept)
    if winners.word_parts and evidence.slots is not None:
        slot_of = np.full(len(order) + 1, -1, np.int32)  # the last one: of what is in no n-gram
        slot_of[kept] = np.arange(len(kept), dtype=np.int32)
        parts = winners.word_parts(winners.weight[targets], slot_of[evidence.slots], len(kept)).tolist()
    begin = batch.offsets[text[kept]]
    columns = (begin + evidence.starts[kept], begin + evidence.ends[kept], evidence.contributions[kept])
    ngrams = list(zip(*(column.tolist() for column in columns), parts, strict=True))
    write = NgramWriter(reading, apart=apart)
    return [
        Explanation(
            label=labels[target],
            probability=probability,
            logit=logit,
            bias=bias,
            ngrams=tuple(write(texts[row], row, *ngram) for ngram in ngrams[bounds[row] : bounds[row + 1]]),
            rest=rest[row],
            method="ngrams",
            exact=True,
            **write.unread(texts[row], row),
        )
        for row, (target, probability, logit, bias) in enumerate(
            zip(
                targets.tolist(),
                found[rows, targets].tolist(),
                winners.logits[rows, targets].tolist(),
                winners.bias[targets].tolist(),
                strict=True,
            )
        )
    ]


def _by_occlusion(
    model: Model, reading: Reading, labels: Sequence[str], texts: Sequence[str],
    probabilities: Probabilities, targets: Targets | None, top_n: int | None, apart: bool,
) -> list[Explanation]:  # fmt: skip
    explained = []
    write = NgramWriter(reading, apart=apart)
    for row, ids in enumerate(reading.batch):
        found = occlude(model.logits, ids, probabilities, None if targets is None else int(targets[row]))
        first = int(reading.batch.offsets[row])
        kept = np.argsort(-np.abs(found.contributions), kind="stable")[:top_n].tolist()
        starts, ends = (found.starts + first).tolist(), (found.ends + first).tolist()
        contributions = found.contributions.tolist()
        logit = float(found.logits[found.target])
        explained.append(
            Explanation(
                label=labels[found.target],
                probability=float(probabilities(found.logits[None])[0, found.target]),
                logit=logit,
                bias=found.bias,
                ngrams=tuple(write(texts[row], row, starts[u], ends[u], contributions[u], None) for u in kept),
                rest=logit - found.bias - sum(contributions[u] for u in kept),
                method="occlusion",
                exact=False,
                faithfulness=found.faithfulness,
                **write.unread(texts[row], row),
            )
        )
    return explained


class NgramWriter:
    """N-grams as characters of a text, from n-grams as tokens of a batch. With `apart` texts are records of several."""

    def __init__(self, reading: Reading, *, apart: bool = False) -> None:
        self._apart = apart
        self._spans: list[list[int]] = reading.spans.tolist()
        self._unread: list[list[int]] = reading.unread.tolist()
        self._known: list[bool] = (reading.batch.values != UNKNOWN_ID).tolist()

    def unread(self, text: str, row: int) -> dict[str, Any]:
        """The characters of text `row` that truncation cut off, as fields of an Explanation."""
        start, end = self._unread[row]
        if start >= end:
            return {}
        segment, begin = self._segment(text, start)
        return {"unread": (start - begin, end - begin), "unread_segment": segment}

    def _segment(self, text: str, start: int) -> tuple[int | None, int]:
        """Which text of a record the character is in, and where that begins."""
        if not self._apart:
            return None, 0
        begins = text_begins(split_texts(text))
        segment = bisect_right(begins, start) - 1
        return segment, begins[segment]

    def __call__(
        self, text: str, row: int, first: int, last: int, contribution: float, parts: Sequence[float] | None
    ) -> Ngram:
        """The n-gram of tokens first..last - 1 of the batch, which are of text `row`, and the part of each token."""
        spans = self._spans[first:last]
        start, end = spans[0][0], spans[-1][1]
        gap, beyond = self._unread[row]
        cut = start <= gap < beyond <= end
        tokens: tuple[TokenPart, ...] = ()
        if parts is not None:
            # `parts` has room for the widest window
            tokens = tuple(
                TokenPart(a, b, text[a:b], part, known)
                for (a, b), part, known in zip(spans, parts, self._known[first:last], strict=False)
            )
        written = f"{text[start:gap].rstrip()}{CUT}{text[beyond:end].lstrip()}" if cut else text[start:end]
        segment, begin = self._segment(text, start)
        return Ngram(start - begin, end - begin, written, contribution, tokens, cut, segment)
