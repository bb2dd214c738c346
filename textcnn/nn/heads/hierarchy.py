"""Labels that are paths in a tree, such as `NUM/date`."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field

from textcnn.nn.heads.linear import Bound, Dropout, HiddenDim, LinearHead
from textcnn.nn.losses import Loss
from textcnn.registry import HEADS

Tensor = torch.Tensor
LEAST = 1e-12


@HEADS.register("hierarchy")
class Hierarchy(LinearHead):
    """One softmax over whole paths; a node is as probable as all paths below it together, so the tree is consistent.

    logits (B, num_classes), target int64[B]. To the loss of the path comes `level_weight` times -log P of the node
    above on each inner level, so that a wrong path under the right node costs less. `separator` stands between the
    parts of a label. `levels` says for each inner level to which node every class belongs; training reads that off the
    labels and writes it here.
    """

    losses = ("cross_entropy", "focal")

    def __init__(
        self, in_dim: int, num_classes: int,
        *, dropout: Dropout = 0.5, max_norm: Bound = 3.0, hidden_dim: HiddenDim = 0,
        separator: Annotated[str, Field(min_length=1)] = "/", level_weight: Annotated[float, Field(ge=0)] = 0.5,
        levels: tuple[tuple[int, ...], ...] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_dim, num_classes, dropout=dropout, max_norm=max_norm, hidden_dim=hidden_dim)
        assert levels is not None and all(len(nodes) == num_classes for nodes in levels), (levels, num_classes)
        self._level_weight = level_weight
        # configuration, not weights: it is not saved a second time
        self.register_buffer("_levels", torch.tensor(levels).reshape(-1, num_classes), persistent=False)

    _levels: Tensor

    def loss(self, logits: Tensor, target: Tensor, criterion: Loss) -> Tensor:
        total = super().loss(logits, target, criterion)
        paths = logits.float().softmax(1)
        for nodes in self._levels.to(paths.device):  # validation adds up on the CPU, wherever the network is
            found = paths.new_zeros(len(paths), int(nodes.max()) + 1).index_add(1, nodes, paths)
            total = total + self._level_weight * F.nll_loss(found.clamp(min=LEAST).log(), nodes[target])
        return total
