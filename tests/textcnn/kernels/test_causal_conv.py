from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from textcnn.kernels.causal_conv import causal_conv, causal_conv_ref

Tensor = torch.Tensor
# texts that start at even and at odd tokens, empty ones, odd and even numbers of tokens
RAGGED = [[0, 4, 4, 5, 14, 16], [0, 1], [0, 0, 3], [0, 2, 4], [0, 1, 2, 3, 4, 5], [0, 3, 6, 7], [0, 0], [0]]


def inputs(width: int, offsets: Tensor) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(int(offsets[-1]), 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(width, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    return x, weight


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("offsets", RAGGED, ids=str)
def test_every_text_is_convolved_by_itself(offsets: list[int], width: int, reverse: bool) -> None:
    x, weight = inputs(width, torch.tensor(offsets))
    y = causal_conv(x, weight, torch.tensor(offsets), reverse=reverse)
    assert y.shape == (len(x), 3)
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        text = x[start:end].flip(0) if reverse else x[start:end]
        # conv1d has the oldest token first
        alone = (
            F.conv1d(F.pad(text.T[None], (width - 1, 0)), weight.flip(0).permute(1, 2, 0))[0].T
            if end > start
            else text[:, :3]
        )
        torch.testing.assert_close(y[start:end], alone.flip(0) if reverse else alone)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("offsets", RAGGED, ids=str)
def test_windows_in_pairs_have_the_gradients_of_the_reference(offsets: list[int], reverse: bool) -> None:
    x, weight = inputs(2, torch.tensor(offsets))
    grad = torch.randn(len(x), 3, dtype=torch.float64)
    fast, slow = (
        torch.autograd.grad(conv(x, weight, torch.tensor(offsets), reverse=reverse), (x, weight), grad)
        for conv in (causal_conv, causal_conv_ref)
    )
    torch.testing.assert_close(fast, slow)


def test_gradients_of_the_reference_are_right() -> None:
    offsets = torch.tensor(RAGGED[0])
    assert torch.autograd.gradcheck(lambda x, weight: causal_conv_ref(x, weight, offsets), inputs(3, offsets))


def test_autocast_gets_its_products_in_half_precision() -> None:
    offsets = torch.tensor(RAGGED[0])
    x, weight = (part.detach().float() for part in inputs(2, offsets))
    with torch.autocast("cpu", torch.bfloat16):
        y = causal_conv(x.bfloat16(), weight, offsets)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), causal_conv(x, weight, offsets), atol=0.1, rtol=0.1)


def test_a_frozen_input_gets_no_gradient() -> None:
    offsets = torch.tensor(RAGGED[0])
    x, weight = inputs(2, offsets)
    causal_conv(x.detach(), weight, offsets).sum().backward()
    assert weight.grad is not None


def test_nothing_of_a_neighbour_leaks_into_a_text() -> None:
    offsets = torch.tensor([0, 3, 6])
    x, weight = inputs(2, offsets)
    spoiled = x.detach().clone()
    spoiled[:3] = torch.nan
    assert torch.equal(causal_conv(spoiled, weight, offsets)[3:], causal_conv(x, weight, offsets)[3:])
