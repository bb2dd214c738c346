"""The convolution before a QRNN's gates: every token together with those just before it, in a ragged batch.

Windows of two tokens, which QRNNs mostly have, are computed in pairs on a CPU. With tokens a b c, weights P for the token
before and Q for the token itself,

    y_b = P a + Q b = P (a - b) + (P + Q) b
    y_c = P b + Q c = Q (c - b) + (P + Q) b

so that two windows take three matrix products in the place of four (Winograd's F(2, 2)), and so do both gradients.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

Tensor = torch.Tensor


def causal_conv(x: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """y_t = sum over k of weight[k] x_{t - (width - 1) + k}; what would lie before a text is zero.

    `x` float[N, in_dim], all texts end to end, `offsets` int64[B + 1], `weight` float[width, out_dim, in_dim]. Returns
    float[N, out_dim].
    """
    if len(weight) != 2 or x.device.type != "cpu":
        return causal_conv_ref(x, weight, offsets)
    starts = offsets[:-1][offsets.diff() > 0]
    odd = starts % 2 == 1
    y: Tensor = _Pairs.apply(x, weight, starts[~odd] // 2, starts[odd] // 2)  # type: ignore[no-untyped-call]
    return y


def causal_conv_ref(x: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """The same as one matrix product over copied windows, any width, device and type."""
    width, tokens = len(weight), torch.arange(len(x), device=x.device)
    place = tokens - torch.repeat_interleave(offsets[:-1], offsets.diff(), output_size=len(x))
    windows = [F.pad(x, (0, 0, back, 0))[: len(x)] * (place >= back)[:, None] for back in reversed(range(width))]
    return torch.cat(windows, 1) @ weight.transpose(1, 2).flatten(0, 1)


class _Pairs(torch.autograd.Function):
    """Tokens two by two: `fresh` int64 are the pairs whose first token starts a text, `cut` those whose second does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, fresh: Tensor, cut: Tensor) -> Tensor:
        tokens = len(x)
        x = _even(x)
        first, second = x[0::2], x[1::2]
        before = torch.empty_like(first)  # the token before, less the first one
        torch.sub(second[:-1], first[1:], out=before[1:])
        before[fresh] = -first[fresh]
        after = second - first
        after[cut] = second[cut]
        y = x.new_empty(len(first), 2, weight.shape[1])
        torch.mm(first, weight.sum(0).T, out=y[:, 0])
        y[:, 1] = y[:, 0]
        y[cut, 1] = 0.0
        y[:, 0].addmm_(before, weight[0].T)
        y[:, 1].addmm_(after, weight[1].T)
        ctx.save_for_backward(x, weight, before, after, fresh, cut)
        return y.flatten(0, 1)[:tokens]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, before, after, fresh, cut = ctx.saved_tensors
        even = _even(grad)
        one, two = even[0::2], even[1::2]
        both = one + two
        both[cut] = one[cut]
        shared = both.T @ x[0::2]
        grad_weight = torch.stack([torch.addmm(shared, one.T, before), torch.addmm(shared, two.T, after)])
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None, None
        grad_before, grad_after = one @ weight[0], two @ weight[1]
        grad_x = torch.empty_like(x)
        first, second = grad_x[0::2], grad_x[1::2]
        torch.mm(both, weight.sum(0), out=first)
        first -= grad_before
        first -= grad_after
        first[cut] += grad_after[cut]
        grad_before[fresh] = 0.0
        second.copy_(grad_after)
        second[:-1] += grad_before[1:]
        return grad_x[: len(grad)], grad_weight, None, None


def _even(rows: Tensor) -> Tensor:
    return F.pad(rows, (0, 0, 0, 1)) if len(rows) % 2 else rows
