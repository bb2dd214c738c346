from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from textcnn.kernels.conv_max import conv_max, conv_max_ref
from textcnn.kernels.native import native
from textcnn.kernels.table_gather import NO_WINDOW
from textcnn.kernels.windows import Padding, Windows

OFFSETS = torch.tensor([0, 4, 4, 5, 14, 16])  # lengths 4, 0, 1, 9, 2


def inputs(windows: Windows, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 8, (16,), generator=generator, dtype=torch.int32)
    x = torch.randn(8, 6, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.randn(windows.rows, 6, generator=generator, dtype=dtype, requires_grad=True)
    bias = torch.randn(windows.features, generator=generator, dtype=dtype, requires_grad=True)
    return x, values, OFFSETS, weight, bias


def outputs_and_gradients(function: Callable[..., Any], windows: Windows) -> list[torch.Tensor]:
    x, values, offsets, weight, bias = inputs(windows)
    best, starts = function(x, values, offsets, weight, bias, windows)
    finite = torch.where(best.isinf(), 0.0, best)
    loss = (finite * torch.linspace(-1, 1, finite.numel()).view_as(finite)).sum()
    return [best, starts, *torch.autograd.grad(loss, (x, weight, bias))]


@pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
@pytest.mark.parametrize("padding", ["valid", "same", "wide"])
@pytest.mark.parametrize("filters", [(2, 3, 1), (40, 16, 70)])
def test_sparse_operation_equals_the_dense_reference(padding: Padding, filters: tuple[int, ...]) -> None:
    windows = Windows((2, 3, 5), filters, padding)
    for fast, slow in zip(
        outputs_and_gradients(conv_max, windows), outputs_and_gradients(conv_max_ref, windows), strict=True
    ):
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


def test_gradients_of_the_reference_are_right() -> None:
    windows = Windows((2, 3), (2, 2), "same")
    x, values, offsets, weight, bias = inputs(windows, torch.float64)

    def loss(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        best, _ = conv_max_ref(x, values, offsets, weight, bias, windows)
        return best[offsets.diff() > 0]

    assert torch.autograd.gradcheck(loss, (x, weight, bias), fast_mode=True)


def test_an_empty_text_has_no_window_and_no_gradient() -> None:
    windows = Windows((3,), (4,))
    x = torch.ones(1, 2, requires_grad=True)
    empty = torch.zeros(0, dtype=torch.int32)
    weight, bias = torch.ones(12, 2, requires_grad=True), torch.zeros(4, requires_grad=True)
    best, starts = conv_max(x, empty, torch.tensor([0, 0]), weight, bias, windows)
    assert best.isneginf().all()
    assert (starts == NO_WINDOW).all()
    torch.where(best.isinf(), 0.0, best).sum().backward()
    assert weight.grad is not None and not weight.grad.any()
