"""Several questions about the same text, one softmax each, on one shared encoder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from textcnn.nn.heads.linear import Bound, Dropout, HiddenDim, LinearHead
from textcnn.nn.losses import Loss
from textcnn.registry import HEADS

Tensor = torch.Tensor
MISSING = -1  # in a target: this text has no label of that task


@HEADS.register("multi_task")
class MultiTask(LinearHead):
    """logits (B, num_classes), those of all tasks side by side; target int64[B, tasks], -1 where a label is missing.

    `tasks` says how many classes each has, in order; training reads that off the label columns and writes it here.
    The loss is the sum over tasks of `task_weights` (1 where none is given) times the mean over the texts that have a
    label of the task.
    """

    losses = ("cross_entropy", "hinge", "focal", "binary_cross_entropy", "squared_error")

    def __init__(
        self, in_dim: int, num_classes: int,
        *, dropout: Dropout = 0.5, max_norm: Bound = 3.0, hidden_dim: HiddenDim = 0,
        tasks: dict[str, int] | None = None, task_weights: dict[str, Annotated[float, Field(ge=0)]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(in_dim, num_classes, dropout=dropout, max_norm=max_norm, hidden_dim=hidden_dim)
        assert tasks and sum(tasks.values()) == num_classes, (tasks, num_classes)
        self._sizes = list(tasks.values())
        self._weights = [(task_weights or {}).get(name, 1.0) for name in tasks]

    def loss(self, logits: Tensor, target: Tensor, criterion: Loss) -> Tensor:
        logits, total = logits.float(), logits.new_zeros((), dtype=torch.float32)
        present = target != MISSING
        complete = bool(present.all())  # the usual batch, which needs no picking
        for weight, of_task, wanted, known in zip(
            self._weights, torch.split(logits, self._sizes, 1), target.unbind(1), present.unbind(1), strict=True
        ):
            if complete:
                total = total + weight * criterion(of_task, wanted)
            elif known.any():
                total = total + weight * criterion(of_task[known], wanted[known])
        return total

    def right(self, logits: Tensor, target: Tensor) -> float:
        """Each text counts by the share of its known labels that are right; one without any counts as right."""
        answers = torch.stack([of_task.argmax(1) for of_task in torch.split(logits, self._sizes, 1)], 1)
        known = (target != MISSING).sum(1)
        share = (answers == target).sum(1) / known.clamp(min=1)
        return float(share.sum() + (known == 0).sum())
