"""Update rules for row-sparse gradients (the embedding's) and dense ones (all others'): Adam, AdamW, Adadelta, SGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from textcnn.config import TrainConfig
from textcnn.kernels.row_updates import adadelta_rows, adam_rows

Tensor = torch.Tensor


class RowOptimizer(torch.optim.Optimizer):
    """Base: unpacks gradients into rows and adds the L2 penalty; a subclass updates rows.

    Embedding weights get a sparse gradient and no penalty, since a penalty would touch every word at every step.
    """

    def __init__(self, params: Iterable[nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all parameters. torch's own optimizers also take a closure, for which these have no use."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    self.start(state, param)
                state["step"] += 1
                if param.grad.is_sparse:
                    grad = param.grad.coalesce()
                    self.update(param, grad.values(), grad.indices()[0], state, group)
                else:
                    grad = param.grad if not group["l2"] else param.grad + group["l2"] * param
                    flat = param.view(1, -1) if param.dim() < 2 else param
                    self.update(flat, grad.contiguous().view_as(flat), None, state, group)

    def start(self, state: dict[str, Any], param: Tensor) -> None:
        """The state of a parameter before its first step."""
        flat = param.view(1, -1) if param.dim() < 2 else param
        state.update(step=0, first=torch.zeros_like(flat), second=torch.zeros_like(flat))

    def update(
        self, param: Tensor, grad: Tensor, rows: Tensor | None, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        raise AssertionError("a subclass says how")


class RowAdam(RowOptimizer):
    """Adam; rows that a batch does not touch keep their moments (as torch.optim.SparseAdam does).

    `weight_decay` makes it AdamW (Loshchilov and Hutter 2019): the decay is apart from the gradient's moments.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float] = (0.9, 0.999), l2: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "eps": 1e-8, "l2": l2, "weight_decay": weight_decay})

    def update(
        self, param: Tensor, grad: Tensor, rows: Tensor | None, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if group["weight_decay"] and rows is None:
            param.mul_(1 - group["lr"] * group["weight_decay"])
        adam_rows(
            param, state["first"], state["second"], grad, rows,
            step=state["step"], lr=group["lr"], betas=group["betas"], eps=group["eps"],
        )  # fmt: skip


class RowAdadelta(RowOptimizer):
    """Adadelta; equal to the dense one although it touches only the rows of the batch."""

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float = 1.0, rho: float = 0.95, eps: float = 1e-6, l2: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "l2": l2})

    def start(self, state: dict[str, Any], param: Tensor) -> None:
        super().start(state, param)
        if param.grad is not None and param.grad.is_sparse:
            state["last_step"] = torch.zeros(len(param), dtype=torch.int64, device=param.device)

    def update(
        self, param: Tensor, grad: Tensor, rows: Tensor | None, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        adadelta_rows(
            param, state["first"], state["second"], grad, rows, state.get("last_step"),
            step=state["step"], lr=group["lr"], rho=group["rho"], eps=group["eps"],
        )  # fmt: skip


class RowSGD(RowOptimizer):
    """Gradient descent with momentum: v = momentum v + g, w = w - lr v; rows that sit out keep v and stand still."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.9, l2: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "l2": l2})

    def start(self, state: dict[str, Any], param: Tensor) -> None:
        state.update(step=0, velocity=torch.zeros_like(param.view(1, -1) if param.dim() < 2 else param))

    def update(
        self, param: Tensor, grad: Tensor, rows: Tensor | None, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        velocity = state["velocity"]
        if rows is None:
            param.sub_(velocity.mul_(group["momentum"]).add_(grad), alpha=group["lr"])
            return
        moved = velocity[rows] * group["momentum"] + grad
        velocity[rows] = moved
        param[rows] -= group["lr"] * moved


def make_optimizer(network: nn.Module, config: TrainConfig) -> RowOptimizer:
    """The optimizer that the configuration names, over all trained weights."""
    params = [param for param in network.parameters() if param.requires_grad]
    if config.optimizer == "adadelta":
        return RowAdadelta(params, lr=config.learning_rate, rho=config.rho, eps=config.epsilon, l2=config.l2)
    if config.optimizer == "sgd":
        return RowSGD(params, lr=config.learning_rate, momentum=config.momentum, l2=config.l2)
    decay = config.weight_decay if config.optimizer == "adamw" else 0.0
    return RowAdam(params, lr=config.learning_rate, l2=config.l2, weight_decay=decay)
