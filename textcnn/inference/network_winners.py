"""Which tokens each activation after max over time was computed from, asked of the network's own parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from textcnn.inference.ngram_table import THROUGH_ZERO, NgramTable
from textcnn.kernels.table_gather import NO_WINDOW
from textcnn.nn.blocks.kim_conv import KimConv
from textcnn.nn.encoder import Encoder
from textcnn.nn.model import Network
from textcnn.nn.pooling.max_over_time import MaxOverTime
from textcnn.nn.ragged import Distinct, RaggedIds
from textcnn.nn.sizes import union
from textcnn.types import Floats, Ids, Parts, TokenBatch, Winners

Tensor = torch.Tensor
TEXTS_AT_ONCE = 64  # every activation before pooling is kept
TINY = 1e-6  # tanh(z) / z is 1 to all its digits
LONGEST_NGRAM = 20  # where one position sees more tokens than that, where it looked explains nothing


@torch.inference_mode()
def network_winners(
    network: Network, batch: TokenBatch, distinct: Distinct, table: NgramTable | None
) -> Winners | None:
    """The winners of a network in eval mode, taken apart by word with `table`.

    Through several layers an n-gram is all that the winning position can see, so it is longer than each filter. None if
    that has no bounds or is too long to explain anything, if pooling mixes positions, or if the head does not only add
    up.
    """
    encoder, head = network.encoder, network.head
    blocks: list[Any] = list(encoder.blocks)
    if (
        network.join is not None
        or not hasattr(encoder.pooling, "positions")
        or not head.linear_in_features
        or not blocks
    ):
        return None
    # a window that stands again behind the last is told from it by max over time right behind it, and nowhere else
    repeats = any(getattr(part, "repeats_last", False) for part in encoder.blocks.modules())
    if repeats and not (
        len(blocks) == 1 and isinstance(blocks[0], KimConv) and isinstance(encoder.pooling, MaxOverTime)
    ):
        return None
    seen = _span(blocks, 0, None)
    if seen is None or seen[1] - seen[0] > LONGEST_NGRAM:
        return None
    device = next(network.parameters()).device
    parts: list[list[Any]] = []
    for first in range(0, max(len(batch), 1), TEXTS_AT_ONCE):
        ids = distinct(batch.take(np.arange(first, min(first + TEXTS_AT_ONCE, len(batch))))).to(device)
        found = _one_convolution(encoder, ids) if encoder.fused else _spans(encoder, ids)
        if found is None:
            return None
        pooled, *others = found
        parts.append([column.cpu().numpy() for column in (head(pooled), pooled, *others)])
    logits, activations, gain, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Winners(
        logits=logits,
        activations=activations,
        starts=starts,
        ends=ends,
        weight=head.linear.weight.cpu().numpy(),
        bias=head.linear.bias.cpu().numpy(),
        word_parts=partial(_word_parts, table, batch, starts, gain) if table and _through_zero(blocks[0]) else None,
    )


def _word_parts(
    table: NgramTable, batch: TokenBatch, starts: Ids, gain: Floats, weight: Floats, slots: Ids, count: int
) -> Parts:
    return table.word_parts(batch, starts, weight * gain, slots, count)


def _one_convolution(encoder: Encoder, ids: RaggedIds) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As Encoder.forward_fused: activations, activation over sum, first token and end of every winner."""
    conv = encoder.blocks[0]
    assert isinstance(conv, KimConv)
    sums, starts = conv.largest(encoder.vectors(ids), ids.local, ids.offsets)
    sums = torch.where((ids.offsets.diff() > 0)[:, None], sums, 0.0)
    activations = torch.where((ids.offsets.diff() > 0)[:, None], conv.activate(sums), 0.0)
    gain = torch.where(sums.abs() > TINY, activations / sums, 1.0)
    return activations, gain, starts, starts + torch.from_numpy(conv.windows.width_of_feature).to(starts.device)


def _spans(encoder: Encoder, ids: RaggedIds) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """The same through any blocks, where the gain is not one number; None if pooling mixes positions."""
    pooling: Any = encoder.pooling
    pooled, between = encoder.forward_between(ids)
    at = pooling.positions(*between[-1])
    if at is None:
        return None
    # vectors of all channels lie end to end, however many pooling makes
    channels = np.arange(at.shape[1]) % between[-1][0].shape[2]
    empty = (at < 0).cpu()
    seen = _seen(list(encoder.blocks), at.clamp(min=0).cpu().numpy(), channels)
    starts, ends = (torch.where(empty, NO_WINDOW, torch.from_numpy(column)).int() for column in seen)
    return pooled, torch.ones_like(pooled), starts, ends


def _seen(blocks: Sequence[Any], at: Any, channels: Any) -> Any:
    """First token and end of what position at[b, f] of channel channels[f] of the last block sees: int64[2, B, F]."""
    channels = np.broadcast_to(channels, at.shape)
    pairs, where = np.unique(np.stack([at.ravel(), channels.ravel()]), axis=1, return_inverse=True)
    seen = np.array([_span(blocks, t, channel) for t, channel in pairs.T.tolist()], np.int64).reshape(-1, 2)
    return seen[where.ravel()].T.reshape(2, *at.shape)


def _span(blocks: Sequence[Any], t: int, channel: int | None) -> tuple[int, int] | None:
    """The tokens that a position of the last block sees; what lies below it is seen in all channels."""
    found: tuple[int, int] | None = (t, t + 1)
    for block in reversed(blocks):
        assert found is not None
        found = union([block.span(found[0], channel), block.span(found[1] - 1, channel)])
        if found is None:
            return None
        channel = None
    return found


def _through_zero(block: Any) -> bool:
    return block.activation in THROUGH_ZERO
