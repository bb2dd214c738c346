"""Where a text is taken apart: between the texts of a record, or between its sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from textcnn.config import TextConfig
from textcnn.errors import needs_extra
from textcnn.text.word_ids import Spans, readable
from textcnn.types import BREAK_ID, Offsets, TokenBatch, split_texts, text_begins

Bounds = list[tuple[int, int]]


def parts_of(text: str, config: TextConfig) -> list[str]:
    """The texts of a record, where a record is several texts; else the text."""
    return split_texts(text) if config.segments == "columns" else [text]


def split_sentences(text: str, language: str) -> Bounds:
    """Where the sentences of a text begin and end, without the white space around them. Raises MissingExtraError."""
    with needs_extra("telling sentences apart", "summarize"):
        from sentencex import get_sentence_boundaries
    bounds = []
    for found in get_sentence_boundaries(language, readable(text)):
        start, end = found["start_index"], found["end_index"]
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        if start < end:
            bounds.append((start, end))
    return bounds


def sentence_of(spans: Spans, bounds: Bounds) -> Offsets:
    """The sentence of each token of a text, int64[T]; what stands before the first belongs to it."""
    starts = np.array([start for start, _ in bounds], np.int64)
    return np.maximum(np.searchsorted(starts, spans[:, 0], side="right") - 1, 0)


def break_sentences(batch: TokenBatch, spans: Spans, bounds: Sequence[Bounds]) -> tuple[TokenBatch, Spans]:
    """The tokens of several texts with a break between each two sentences that have tokens."""
    own = zip(batch.offsets[:-1], batch.offsets[1:], bounds, strict=True)
    owners = [sentence_of(spans[start:end], sentences) for start, end, sentences in own]
    places = [np.flatnonzero(np.diff(owner)) + 1 for owner in owners]
    texts = np.repeat(np.arange(len(batch)), [len(some) for some in places])
    places_in_batch = np.concatenate([np.zeros(0, np.int64), *places]) + batch.offsets[texts]
    return _with_breaks(batch, spans, places_in_batch, texts, spans[places_in_batch, 0])


def join_parts(
    batch: TokenBatch, spans: Spans, unread: Spans, records: Sequence[Sequence[str]]
) -> tuple[TokenBatch, Spans, Spans]:
    """The tokens of the texts of each record, laid end to end with a break between each two.

    Spans and the unread characters, of the first text that has any, are then those of the record's one string.
    """
    first = np.concatenate([[0], np.cumsum([len(parts) for parts in records])]).astype(np.int64)
    begins = np.array([begin for parts in records for begin in text_begins(parts)], np.int64)
    record = np.repeat(np.arange(len(records)), np.diff(first))
    spans = spans + np.repeat(begins, batch.lengths)[:, None]
    cut = np.flatnonzero(unread[:, 0] < unread[:, 1])[::-1]  # so that of several the first is what stays
    whole = np.zeros((len(records), 2), np.int64)
    whole[record[cut]] = unread[cut] + begins[cut, None]
    later = np.delete(np.arange(len(batch)), first[:-1])
    together = batch.with_values(batch.values, batch.offsets[first])
    return *_with_breaks(together, spans, batch.offsets[later], record[later], begins[later] - 1), whole


def _with_breaks(
    batch: TokenBatch, spans: Spans, places: Offsets, texts: Offsets, characters: npt.NDArray[np.int64]
) -> tuple[TokenBatch, Spans]:
    """Breaks before the tokens at `places`, of the texts numbered `texts`; none is read from any character."""
    offsets = batch.offsets.copy()
    offsets[1:] += np.cumsum(np.bincount(texts, minlength=len(batch)))
    broken = batch.with_values(np.insert(batch.values, places, BREAK_ID), offsets)
    return broken, np.insert(spans, places, characters[:, None], axis=0)
