from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from textcnn.kernels.row_updates import adadelta_rows, adadelta_rows_ref, adam_rows, adam_rows_ref

ROWS, DIM, STEPS = 30, 7, 60


def sparse_steps() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    steps = []
    for _ in range(STEPS):
        rows = torch.randperm(ROWS, generator=generator)[: int(torch.randint(1, 6, (), generator=generator))]
        steps.append((rows, torch.randn(len(rows), DIM, generator=generator)))
    return steps


@pytest.mark.parametrize("update", [adadelta_rows, adadelta_rows_ref], ids=["kernel", "reference"])
def test_lazy_adadelta_equals_the_dense_one(update: Callable[..., None]) -> None:
    param, square, delta = torch.ones(ROWS, DIM), torch.zeros(ROWS, DIM), torch.zeros(ROWS, DIM)
    last_step = torch.zeros(ROWS, dtype=torch.int64)
    dense = torch.nn.Parameter(torch.ones(ROWS, DIM))
    optimizer = torch.optim.Adadelta([dense], lr=1.0, rho=0.95, eps=1e-6)
    for step, (rows, grad) in enumerate(sparse_steps(), start=1):
        update(param, square, delta, grad, rows, last_step, step=step, lr=1.0, rho=0.95, eps=1e-6)
        dense.grad = torch.zeros(ROWS, DIM).index_copy(0, rows, grad)
        optimizer.step()
    torch.testing.assert_close(param, dense.detach(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("update", [adam_rows, adam_rows_ref], ids=["kernel", "reference"])
def test_row_adam_equals_torchs_sparse_adam(update: Callable[..., None]) -> None:
    param, first, second = torch.ones(ROWS, DIM), torch.zeros(ROWS, DIM), torch.zeros(ROWS, DIM)
    theirs = torch.nn.Parameter(torch.ones(ROWS, DIM))
    optimizer = torch.optim.SparseAdam([theirs], lr=0.01)
    for step, (rows, grad) in enumerate(sparse_steps(), start=1):
        update(param, first, second, grad, rows, step=step, lr=0.01, betas=(0.9, 0.999), eps=1e-8)
        theirs.grad = torch.sparse_coo_tensor(rows[None], grad, (ROWS, DIM), check_invariants=True)
        optimizer.step()
    torch.testing.assert_close(param, theirs.detach(), atol=1e-6, rtol=1e-5)


def test_row_adam_over_all_rows_equals_torchs_adam() -> None:
    param, first, second = torch.ones(1, DIM), torch.zeros(1, DIM), torch.zeros(1, DIM)
    theirs = torch.nn.Parameter(torch.ones(DIM))
    optimizer = torch.optim.Adam([theirs], lr=0.01)
    for step in range(1, 20):
        grad = torch.sin(torch.arange(DIM) * step)
        adam_rows(param, first, second, grad[None], None, step=step, lr=0.01, betas=(0.9, 0.999), eps=1e-8)
        theirs.grad = grad
        optimizer.step()
    torch.testing.assert_close(param[0], theirs.detach(), atol=1e-6, rtol=1e-5)
