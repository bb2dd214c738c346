"""Texts that are encoded piece by piece: the columns of a record, or the sentences of a document."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from textcnn.nn.encoder import Encoder
from textcnn.nn.ragged import RaggedIds

Tensor = torch.Tensor
TOKENS_AT_ONCE = 1 << 15  # of a rectangle of segments; one long sentence does not make all others as long


def encode_segments(encoder: Encoder, ids: RaggedIds, *, keep_empty: bool) -> tuple[Tensor, Tensor]:
    """The vector of each segment of each text, float[B, S, out_dim], and the mask bool[B, S] of those there are.

    Without `keep_empty`, segments without tokens are left out, so that where breaks stand together means nothing.
    """
    segments, bounds = ids.segments()
    if not keep_empty:
        there = segments.offsets.diff() > 0
        bounds = torch.cat([bounds.new_zeros(1), there.cumsum(0)])[bounds]
        segments = segments.take(there.nonzero()[:, 0])
    vectors = encoder(segments) if encoder.fused else _by_length(encoder, segments)
    counts = bounds.diff()
    mask = torch.arange(max(1, int(counts.max())), device=counts.device)[None] < counts[:, None]
    x = vectors.new_zeros(*mask.shape, vectors.shape[1])
    x[mask] = vectors
    return x, mask


def _by_length(encoder: Encoder, segments: RaggedIds) -> Tensor:
    """Similar lengths together, so that little is padded."""
    lengths = segments.offsets.diff()
    order = lengths.argsort(stable=True)
    sizes = list(_sizes(lengths[order].tolist()))
    parts = [encoder(segments.take(chosen)) for chosen in torch.split(order, sizes)]
    vectors = torch.cat(parts)
    return vectors[torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))]


def _sizes(lengths: list[int]) -> Iterator[int]:
    """How many of the rising lengths make one rectangle each; one at least."""
    start = 0
    for place in range(1, len(lengths)):
        if (place - start + 1) * lengths[place] > TOKENS_AT_ONCE:
            yield place - start
            start = place
    yield len(lengths) - start
