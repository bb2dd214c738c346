"""conv_max on a GPU: one matrix product over the distinct tokens, then a gather that keeps only maxima.

The table x @ weight.T holds what every distinct token gives to every filter at every place of a window; a window is
`width` rows of it added up, so feature maps exist in registers only and the gather is limited by reading the table,
mostly from the cache. Backward, the gradients of the winners are added into an empty table and two matrix products do
the rest: on a GPU they cost less than reading rows of `x` and `weight` for every single winner.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from textcnn.kernels.table_gather import NO_WINDOW
from textcnn.kernels.windows import Windows

Tensor = torch.Tensor
WINDOWS, FILTERS = 16, 64  # of a tile


class ConvMax(torch.autograd.Function):
    """Features and starts of the winning windows, before the bias; the arguments of conv_max.

    Tokens that two texts share get their gradients by atomic additions, whose order differs from run to run.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, offsets: Tensor, weight: Tensor, windows: Windows
    ) -> tuple[Tensor, Tensor]:
        table = x @ weight.T
        texts = len(offsets) - 1
        features = x.new_empty(texts, windows.features)
        starts = values.new_empty(texts, windows.features)
        for width, filters, row, feature, left in windows.groups() if texts else ():
            with torch.cuda.device_of(x):
                _gather_max[(texts, triton.cdiv(filters, FILTERS))](
                    table, values, offsets, features, starts, row, feature, filters, len(weight), windows.features,
                    left, windows.pad(width)[1], WIDTH=width, WINDOWS=WINDOWS, FILTERS=FILTERS, NO_WINDOW=NO_WINDOW,
                )  # fmt: skip
        ctx.windows = windows
        ctx.save_for_backward(x, values, offsets, weight, starts)
        ctx.mark_non_differentiable(starts)
        return features, starts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x, values, offsets, weight, starts = ctx.saved_tensors
        grad_table = x.new_zeros(len(x), len(weight))
        grad = grad.contiguous()
        for width, filters, row, feature, _left in ctx.windows.groups() if len(grad) else ():
            with torch.cuda.device_of(x):
                _scatter[(len(grad), triton.cdiv(filters, FILTERS))](
                    grad_table, values, offsets, grad, starts, row, feature, filters, len(weight), grad.shape[1],
                    WIDTH=width, FILTERS=FILTERS,
                )  # fmt: skip
        grad_x = grad_table @ weight if ctx.needs_input_grad[0] else None
        return grad_x, None, None, grad_table.T @ x, None


@triton.jit
def _gather_max(
    table, values, offsets, features, starts, first_row, first_feature, filters, rows, all_features, left, right,
    WIDTH: tl.constexpr, WINDOWS: tl.constexpr, FILTERS: tl.constexpr, NO_WINDOW: tl.constexpr,
):  # fmt: skip
    """One text, one block of filters of one width. The first of equal windows wins."""
    text = tl.program_id(0).to(tl.int64)
    begin = tl.load(offsets + text)
    length = (tl.load(offsets + text + 1) - begin).to(tl.int32)
    column = tl.program_id(1) * FILTERS + tl.arange(0, FILTERS)
    keep = column < filters
    # a shorter text is padded to one window; an empty one has none
    count = tl.where(length > 0, tl.maximum(length + left + right - WIDTH + 1, 1), 0)
    best = tl.full([FILTERS], float("-inf"), tl.float32)
    best_at = tl.zeros([FILTERS], tl.int32)
    for first in range(0, count, WINDOWS):
        window = first + tl.arange(0, WINDOWS)
        total = tl.zeros([WINDOWS, FILTERS], tl.float32)
        for k in tl.static_range(WIDTH):
            t = window - left + k
            inside = (t >= 0) & (t < length)
            word = tl.load(values + begin + t, mask=inside, other=0).to(tl.int64)
            row = table + word[:, None] * rows + first_row + k * filters
            total += tl.load(row + column[None, :], mask=inside[:, None] & keep[None, :], other=0.0)
        total = tl.where((window < count)[:, None], total, float("-inf"))
        tile_best, tile_at = tl.max(total, 0, return_indices=True)
        better = tile_best > best
        best = tl.where(better, tile_best, best)
        best_at = tl.where(better, first + tile_at, best_at)
    place = text * all_features + first_feature + column
    tl.store(features + place, best, mask=keep)
    tl.store(starts + place, tl.where(length > 0, best_at - left, NO_WINDOW), mask=keep)


@triton.jit
def _scatter(
    grad_table, values, offsets, grad, starts, first_row, first_feature, filters, rows, all_features,
    WIDTH: tl.constexpr, FILTERS: tl.constexpr,
):  # fmt: skip
    """Add the gradients of one text's winners to the rows of the tokens in them. NO_WINDOW lies before every text."""
    text = tl.program_id(0).to(tl.int64)
    begin = tl.load(offsets + text)
    length = (tl.load(offsets + text + 1) - begin).to(tl.int32)
    column = tl.program_id(1) * FILTERS + tl.arange(0, FILTERS)
    keep = column < filters
    place = text * all_features + first_feature + column
    g = tl.load(grad + place, mask=keep, other=0.0)
    start = tl.load(starts + place, mask=keep, other=0)
    for k in tl.static_range(WIDTH):
        t = start + k
        inside = keep & (t >= 0) & (t < length)
        word = tl.load(values + begin + t, mask=inside, other=0).to(tl.int64)
        tl.atomic_add(grad_table + word * rows + first_row + k * filters + column, g, mask=inside, sem="relaxed")
