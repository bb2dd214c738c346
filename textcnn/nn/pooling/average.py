"""Mean over time."""

from __future__ import annotations

import torch

from textcnn.nn.parts import Pooling
from textcnn.registry import POOLINGS

Tensor = torch.Tensor


@POOLINGS.register("average")
class Average(Pooling):
    """The mean activation of every channel over the positions of the text; zeros for an empty text."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (x * mask[..., None]).sum(1) / mask.sum(1).clamp(min=1)[:, None]
