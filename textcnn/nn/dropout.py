"""Dropout whose random numbers do not cost more than the layer they fall on."""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F

Tensor = torch.Tensor


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p) (Srivastava et al. 2014), in training.

    On a CPU torch draws a double per element, one after the other, which took longer than the whole forward pass of a
    small batch. Here every 63-bit draw serves three elements, so `p` is rounded to a multiple of 2^-16.
    """
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p, training)
    draws = torch.empty((x.numel() + 2) // 3, dtype=torch.int64).random_().view(torch.int16).view(-1, 4)
    lanes = draws[:, :3] if sys.byteorder == "little" else draws[:, 1:]  # the fourth has the sign, which is never set
    dropped = round(p * 2**16)
    kept = lanes.reshape(-1)[: x.numel()].view(x.shape) >= dropped - 2**15
    return x * (kept * (2**16 / (2**16 - dropped)))
