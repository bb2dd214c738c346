"""Optimizer steps on a few rows of a large matrix (or on all of a small one), in place, on a CPU.

`param` and its two accumulators are float32[V, dim]; `grad` is float32[R, dim] and `rows` int64[R], all different, says
which rows it belongs to; rows=None means all. Cost grows with R, never with V.
"""

from __future__ import annotations

import torch

from textcnn.kernels.native import in_ranges, native

Tensor = torch.Tensor
GRAIN = 1 << 15  # floats below which a second thread does not pay


def adadelta_rows(
    param: Tensor, square_avg: Tensor, acc_delta: Tensor, grad: Tensor, rows: Tensor | None, last_step: Tensor | None,
    *, step: int, lr: float, rho: float, eps: float,
) -> None:  # fmt: skip
    """Adadelta (Zeiler 2012, algorithm 1) that equals the dense one although it touches only `rows`.

    With a zero gradient both accumulators are only multiplied by rho and the parameter stands still, so a row that sat
    out n steps is caught up by rho^n when it is next touched. `last_step` int64[V] says when that was; None when every
    step touches every row.
    """
    module = native() if _plain(param) else None
    if module is None:
        adadelta_rows_ref(
            param, square_avg, acc_delta, grad, rows, last_step, step=step, lr=lr, rho=rho, eps=eps
        )  # fmt: skip
        return
    arrays = [None if t is None else t.detach().numpy() for t in (rows, grad, param, square_avg, acc_delta, last_step)]
    dim = param.shape[-1]
    in_ranges(
        lambda begin, end: module.adadelta_rows(*arrays, dim, step, lr, rho, eps, begin, end),
        grad.numel() // dim, threads=torch.get_num_threads(), grain=max(1, GRAIN // dim),
    )  # fmt: skip


def adadelta_rows_ref(
    param: Tensor, square_avg: Tensor, acc_delta: Tensor, grad: Tensor, rows: Tensor | None, last_step: Tensor | None,
    *, step: int, lr: float, rho: float, eps: float,
) -> None:  # fmt: skip
    """The same in plain torch, any device."""
    at = slice(None) if rows is None else rows
    decay: Tensor | float = 1.0
    if last_step is not None:
        decay = (rho ** (step - last_step[at] - 1).to(param.dtype))[:, None]
        last_step[at] = step
    square = square_avg[at] * decay * rho + (1 - rho) * grad * grad
    delta_avg = acc_delta[at] * decay
    delta = ((delta_avg + eps) / (square + eps)).sqrt() * grad
    square_avg[at] = square
    acc_delta[at] = delta_avg * rho + (1 - rho) * delta * delta
    param[at] = param[at] - lr * delta


def adam_rows(
    param: Tensor, first: Tensor, second: Tensor, grad: Tensor, rows: Tensor | None,
    *, step: int, lr: float, betas: tuple[float, float], eps: float,
) -> None:  # fmt: skip
    """Adam (Kingma & Ba 2015, algorithm 1) on the touched rows only; the moments of the others do not decay."""
    module = native() if _plain(param) else None
    if module is None:
        adam_rows_ref(param, first, second, grad, rows, step=step, lr=lr, betas=betas, eps=eps)
        return
    arrays = [None if t is None else t.detach().numpy() for t in (rows, grad, param, first, second)]
    dim = param.shape[-1]
    correct = (1 - betas[0] ** step, 1 - betas[1] ** step)
    in_ranges(
        lambda begin, end: module.adam_rows(*arrays, dim, lr, *betas, eps, *correct, begin, end),
        grad.numel() // dim, threads=torch.get_num_threads(), grain=max(1, GRAIN // dim),
    )  # fmt: skip


def adam_rows_ref(
    param: Tensor, first: Tensor, second: Tensor, grad: Tensor, rows: Tensor | None,
    *, step: int, lr: float, betas: tuple[float, float], eps: float,
) -> None:  # fmt: skip
    """The same in plain torch, any device."""
    at = slice(None) if rows is None else rows
    new_first = betas[0] * first[at] + (1 - betas[0]) * grad
    new_second = betas[1] * second[at] + (1 - betas[1]) * grad * grad
    first[at], second[at] = new_first, new_second
    update = (new_first / (1 - betas[0] ** step)) / ((new_second / (1 - betas[1] ** step)).sqrt() + eps)
    param[at] = param[at] - lr * update


def _plain(param: Tensor) -> bool:
    return param.device.type == "cpu" and param.dtype == torch.float32 and param.is_contiguous()
