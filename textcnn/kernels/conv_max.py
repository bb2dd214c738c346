"""One operation: convolution, bias and max over time on a ragged batch; its backward touches winning windows only.

Max over time lets gradient through to one window per filter and text, so the backward costs texts x filters x width
rows instead of texts x length x filters (Kim 2014, section 2; the algebra is in docs/PERFORMANCE.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from textcnn.kernels.choose import Way, choose
from textcnn.kernels.native import in_ranges, native
from textcnn.kernels.table_gather import NO_WINDOW, gather_max
from textcnn.kernels.windows import Windows

Tensor = torch.Tensor
HIT = np.dtype([("word", np.int32), ("grad", np.float32)])


def conv_max(
    x: Tensor, values: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor, windows: Windows
) -> tuple[Tensor, Tensor]:
    """Largest pre-activation of every filter in every text: max over windows of W . window + bias.

    `x` float[U, in_dim] are the vectors of the distinct tokens of the batch, `values` int32[N] every token's row in
    `x`, `offsets` int64[B + 1], `weight` float[windows.rows, in_dim] as `Windows` lays it out, `bias` float[features].

    Returns (float[B, features], int32[B, features] start of the winning window). An empty text gives -inf, whose
    activation the caller defines, and no gradient.
    """
    way = choose("conv_max", x, repeatable=False)
    if way == "torch":
        return conv_max_ref(x, values, offsets, weight, bias, windows)
    features, starts = _kernels(way).apply(x, values, offsets, weight, windows)
    return features + bias, starts


def conv_max_ref(
    x: Tensor, values: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor, windows: Windows
) -> tuple[Tensor, Tensor]:
    """The same in plain torch, any device and type: pad, convolve, mask, max."""
    lengths = offsets.diff()
    texts, longest = len(lengths), int(lengths.max()) if len(lengths) else 0
    steps = torch.arange(longest, device=x.device)
    inside = steps[None] < lengths[:, None]  # (B, T)
    padded = x.new_zeros(texts, longest, x.shape[1])
    padded[inside] = x[values.long()]
    features, starts = [], []
    for width, filters, row, feature, left in windows.groups():
        right = windows.pad(width)[1]
        kernel = weight[row : row + width * filters].view(width, filters, -1).permute(1, 2, 0)  # (F, D, width)
        # at least one window even where every text is shorter than the filter
        spare = max(0, width - (longest + left + right))
        y = F.conv1d(F.pad(padded.transpose(1, 2), (left, right + spare)), kernel, bias[feature : feature + filters])
        count = (lengths + left + right - width + 1).clamp(min=1) * (lengths > 0)
        open_windows = torch.arange(y.shape[2], device=x.device)[None] < count[:, None]
        y = y.masked_fill(~open_windows[:, None], -torch.inf)
        best, at = y.max(dim=2)
        features.append(best)
        starts.append(torch.where(lengths[:, None] > 0, at - left, NO_WINDOW).int())
    return torch.cat(features, 1), torch.cat(starts, 1)


def _kernels(way: Way) -> type[torch.autograd.Function]:
    if way == "native":
        return _ConvMax
    from textcnn.kernels.triton_conv_max import ConvMax  # triton is not there on every machine

    return ConvMax


class _ConvMax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, offsets: Tensor, weight: Tensor, windows: Windows
    ) -> tuple[Tensor, Tensor]:
        table = x @ weight.T  # every contribution of every distinct token, (U, rows)
        features, starts = gather_max(
            table.numpy(), values.numpy(), offsets.numpy(), windows, argmax=True, threads=torch.get_num_threads()
        )
        argmax = torch.from_numpy(starts)
        ctx.windows = windows
        ctx.save_for_backward(x, values, offsets, weight, argmax)
        ctx.mark_non_differentiable(argmax)
        return torch.from_numpy(features), argmax

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x, values, offsets, weight, argmax = ctx.saved_tensors
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_weight = torch.empty_like(weight)
        module = native()
        assert module is not None
        width, filters, _left, _right = ctx.windows.arrays
        texts, features = grad.shape
        rows, dim = weight.shape
        hits, start = np.empty(texts * rows, HIT), np.empty(rows + 1, np.int64)
        module.winners(
            values.numpy(), offsets.numpy(), width, filters, argmax.numpy(), grad.contiguous().numpy(), hits, start,
            np.empty(texts, HIT), texts, len(width), features,
        )  # fmt: skip
        arrays = [None if part is None else part.detach().numpy() for part in (x, weight, grad_x, grad_weight)]

        def work(begin: int, end: int) -> None:
            module.conv_max_backward(hits, start, width, filters, *arrays, len(x), dim, len(width), begin, end)

        # threads split the columns of the embedding: no float is shared and the sums keep their order
        in_ranges(work, dim, threads=torch.get_num_threads(), grain=64)
        return grad_x, None, None, grad_weight, None
