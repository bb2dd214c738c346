"""The paper's constraint on the last layer (Hinton et al. 2012; Kim 2014, section 2.1)."""

from __future__ import annotations

import torch


def clip_rows_(weight: torch.Tensor, bound: float) -> None:
    """Scale every row of `weight` [rows, dim] whose L2 norm exceeds `bound` down to it; leave the others alone."""
    norms = weight.norm(dim=1, keepdim=True)
    weight.mul_(torch.where(norms > bound, bound / norms, 1.0))
