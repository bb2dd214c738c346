"""The convolution before a QRNN's gates: every token together with those just before it, in a ragged batch.

On a CPU windows of two tokens, the usual ones, are computed in pairs. With tokens a b c in a row and weights S for the
token itself and P for the one before,

    y_b = P a + S b = P (a - b) + (P + S) b
    y_c = P b + S c = S (c - b) + (P + S) b

so two windows take three matrix products in the place of four (Winograd's F(2, 2)); so do both gradients.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

Tensor = torch.Tensor


def causal_conv(x: Tensor, weight: Tensor, offsets: Tensor, *, reverse: bool = False) -> Tensor:
    """y_t = sum over j of weight[j] x_{t - j}, or x_{t + j} if `reverse`; what would lie outside the text is zero.

    `x` float[N, in_dim], all texts end to end, `offsets` int64[B + 1], `weight` float[width, out_dim, in_dim]. Returns
    float[N, out_dim].
    """
    # autocast asks for products in half precision, which a pair of sums beforehand would spoil
    if len(weight) != 2 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return causal_conv_ref(x, weight, offsets, reverse=reverse)
    filled = offsets.diff() > 0
    edges = offsets[1:][filled] - 1 if reverse else offsets[:-1][filled]  # tokens with nothing before them
    leads = edges % 2 == int(reverse)
    y: Tensor = _Pairs.apply(x, weight, edges[leads] // 2, edges[~leads] // 2, reverse)  # type: ignore[no-untyped-call]
    return y


def causal_conv_ref(x: Tensor, weight: Tensor, offsets: Tensor, *, reverse: bool = False) -> Tensor:
    """The same as one matrix product over copies of the windows; any width, device and type."""
    token, length = torch.arange(len(x), device=x.device), offsets.diff()
    edge = torch.repeat_interleave(offsets[1:] - 1 if reverse else offsets[:-1], length, output_size=len(x))
    windows = []
    for j in range(len(weight)):
        outside = (edge - token).abs() < j
        windows.append(x.roll(-j if reverse else j, 0).masked_fill(outside[:, None], 0.0))
    return torch.cat(windows, 1) @ weight.transpose(1, 2).flatten(0, 1)


class _Pairs(torch.autograd.Function):
    """Tokens two by two: of each pair the lead comes first in the direction of reading and is the trail's token before.

    `fresh` are the pairs whose lead has no token before, `cut` those whose trail has none, int64 each.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, fresh: Tensor, cut: Tensor, reverse: bool) -> Tensor:
        lead, trail = _pairs(x, reverse)
        here, there = _neighbours(reverse)
        before = torch.zeros_like(lead)  # the token before the pair, less the lead
        torch.sub(trail[there], lead[here], out=before[here])
        before[fresh] = -lead[fresh]
        after = trail - lead
        after[cut] = trail[cut]
        own, other = weight
        y = x.new_empty(2 * len(lead), weight.shape[1])
        y_lead, y_trail = _pairs(y, reverse)
        torch.mm(lead, (own + other).T, out=y_lead)
        y_trail.copy_(y_lead)
        y_trail[cut] = 0.0
        y_lead.addmm_(before, other.T)
        y_trail.addmm_(after, own.T)
        ctx.reverse = reverse
        ctx.save_for_backward(x, weight, before, after, fresh, cut)
        return y[: len(x)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, before, after, fresh, cut = ctx.saved_tensors
        own, other = weight
        lead, _ = _pairs(x, ctx.reverse)
        g_lead, g_trail = _pairs(grad, ctx.reverse)
        g_both = g_lead + g_trail
        g_both[cut] = g_lead[cut]
        shared = g_both.T @ lead
        grad_weight = torch.empty_like(weight)
        torch.addmm(shared, g_trail.T, after, out=grad_weight[0])
        torch.addmm(shared, g_lead.T, before, out=grad_weight[1])
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None, None, None
        g_before, g_after = g_lead @ other, g_trail @ own
        grad_x = x.new_empty(2 * len(lead), x.shape[1])
        x_lead, x_trail = _pairs(grad_x, ctx.reverse)
        torch.mm(g_both, own + other, out=x_lead)
        x_lead -= g_before
        x_lead -= g_after
        x_lead[cut] += g_after[cut]
        x_trail.copy_(g_after)
        g_before[fresh] = 0.0
        here, there = _neighbours(ctx.reverse)
        x_trail[there] += g_before[here]
        return grad_x[: len(x)], grad_weight, None, None, None


def _pairs(rows: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """The lead and the trail of every pair; a last token without a partner gets zeros."""
    even = F.pad(rows, (0, 0, 0, 1)) if len(rows) % 2 else rows
    return (even[1::2], even[0::2]) if reverse else (even[0::2], even[1::2])


def _neighbours(reverse: bool) -> tuple[slice, slice]:
    """Pairs that have a pair before them in the direction of reading, and those pairs before them."""
    later, earlier = slice(1, None), slice(None, -1)
    return (earlier, later) if reverse else (later, earlier)
