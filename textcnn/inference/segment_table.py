"""Texts that are encoded segment by segment, without torch: each segment by table look-up, then the join.

The sentences of a document are the words of a text whose vocabulary they are themselves, so the convolution over them
is the same look-up in a table of their projections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from textcnn.artifact import Artifact
from textcnn.inference.engine import EngineOptions, weights_of, why_not_numpy
from textcnn.inference.ngram_table import (
    ACTIVATIONS,
    NgramTableEngine,
    groups_of,
    linear_head,
    table_of,
    why_no_table,
    why_not_linear,
    windows_of,
)
from textcnn.kernels.native import cores
from textcnn.kernels.table_gather import affine, gather_max, pack, project
from textcnn.kernels.windows import Windows
from textcnn.types import BREAK_ID, Floats, Offsets, TokenBatch

RECORDS_AT_ONCE = 1024  # a document's sentences are projected before they are gathered
# vectors of segments float32[S, F] and where those of each text begin int64[B + 1] -> float32[B, out]
Join = Callable[[Floats, Offsets], Floats]


class SegmentTableEngine:
    """Embedding -> one convolution -> max over time for each segment, joined -> linear layer."""

    name = "segment_table"

    def __init__(self, encoder: NgramTableEngine, join: Join, *, keep_empty: bool) -> None:
        self._encoder = encoder  # whose head is that behind the join
        self._join = join
        self._keep_empty = keep_empty

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        model = artifact.config.model
        if not model.join:
            return "it joins segments, and the model reads texts as a whole"
        if options.device not in ("auto", "cpu"):
            return f"it runs on a CPU, and device {options.device} was asked for"
        if reason := why_no_table(model.blocks, model.pooling) or why_not_linear(model.head):
            return reason
        if model.join["type"] == "document" and (reason := why_no_table(model.join["blocks"], model.join["pooling"])):
            return f"of the sentences' level: {reason}"
        return why_not_numpy()

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> SegmentTableEngine:
        spec = artifact.config.model.join
        convolution = table_of(artifact, options)
        dim = convolution[0].windows.features
        join: Join
        if spec["type"] == "compare":
            join, out_dim = partial(compare, texts=spec["texts"]), spec["texts"] ** 2 * dim
        else:
            join, out_dim = _document(artifact, dim, options.threads or cores())
        encoder = NgramTableEngine(*convolution, *linear_head(artifact, out_dim))
        return cls(encoder, join, keep_empty=spec["type"] == "compare")

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]; the same bits for a text alone and in any batch."""
        if len(batch) > RECORDS_AT_ONCE:
            firsts = range(0, len(batch), RECORDS_AT_ONCE)
            parts = (np.arange(first, min(first + RECORDS_AT_ONCE, len(batch))) for first in firsts)
            return np.concatenate([self.logits(batch.take(part)) for part in parts])
        segments, bounds = split_segments(batch, keep_empty=self._keep_empty)
        vectors, _ = self._encoder.features(segments)
        return affine(self._join(vectors, bounds), self._encoder.head_weight, self._encoder.head_bias)

    def winners(self, batch: TokenBatch) -> None:
        """What is compared or convolved again is no sum over n-grams."""
        return None


def split_segments(batch: TokenBatch, *, keep_empty: bool) -> tuple[TokenBatch, Offsets]:
    """The segments of each text as texts of their own, and where each text's begin; as nn.ragged and nn.segments do."""
    is_break = batch.values == BREAK_ID
    before = np.concatenate([[0], np.cumsum(is_break)])
    places = np.flatnonzero(is_break)
    starts = np.sort(np.concatenate([batch.offsets - before[batch.offsets], places - np.arange(len(places))]))
    bounds = np.arange(len(batch) + 1) + before[batch.offsets]
    if not keep_empty:
        there = np.diff(starts) > 0
        bounds = np.concatenate([[0], np.cumsum(there)])[bounds]
        starts = np.append(starts[:-1][there], starts[-1])
    return batch.with_values(batch.values[~is_break], starts), bounds


def compare(vectors: Floats, bounds: Offsets, *, texts: int) -> Floats:
    """As nn.joins.compare."""
    columns = list(vectors.reshape(len(bounds) - 1, texts, vectors.shape[1]).swapaxes(0, 1))
    pairs = list(combinations(columns, 2))
    return np.concatenate([*columns, *(np.abs(u - v) for u, v in pairs), *(u * v for u, v in pairs)], axis=1)


def _document(artifact: Artifact, dim: int, threads: int) -> tuple[Join, int]:
    (spec,) = artifact.config.model.join["blocks"]
    windows, groups = windows_of(spec), groups_of(spec)
    shapes = {
        "join.blocks.blocks.0.weight": (windows.rows, dim // groups),
        "join.blocks.blocks.0.bias": (windows.features,),
    }
    weight, bias = weights_of(artifact, shapes)
    options: dict[str, Any] = {"packed": pack(weight, groups), "windows": windows, "bias": bias, "threads": threads}
    return partial(convolve, **options, activation=spec["activation"]), windows.features


def convolve(
    vectors: Floats, bounds: Offsets, *, packed: Floats, windows: Windows, bias: Floats, activation: str, threads: int
) -> Floats:
    """As nn.joins.document, of one convolution and max over time; `packed` = pack(weight)."""
    numbers = np.arange(len(vectors), dtype=np.int32)
    rows = np.empty((len(vectors), windows.rows), np.float32)
    project(np.ascontiguousarray(vectors), packed, numbers, numbers, rows, threads=threads)
    pooled, _ = gather_max(rows, numbers, bounds, windows, threads=threads)
    pooled += bias
    ACTIVATIONS[activation](pooled)
    pooled[np.diff(bounds) == 0] = 0.0
    return pooled
