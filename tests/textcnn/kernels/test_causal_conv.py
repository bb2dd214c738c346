from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from textcnn.kernels.causal_conv import causal_conv, causal_conv_ref
from textcnn.kernels.native import native

Tensor = torch.Tensor
compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
# texts of any remainder over tiles of two and three tokens, empty ones
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
    x, weight = (part.detach().float() for part in inputs(width, torch.tensor(offsets)))
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


# in_dim and out_dim: less than a vector, more than a pack and not its multiple, more rows than a cache block holds
SIZES = [(4, 3), (37, 70), (400, 130)]


@compiled
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [2, 3])
def test_compiled_tiles_equal_the_reference_forward_and_back(width: int, reverse: bool, sizes: tuple[int, int]) -> None:
    in_dim, out_dim = sizes
    for offsets in [*RAGGED, [0, 1, 300, 523]]:  # the last has more tiles than a panel
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(offsets[-1], in_dim, generator=generator)
        weight = torch.randn(width, out_dim, in_dim, generator=generator) / in_dim**0.5
        grad = torch.randn(offsets[-1], out_dim, generator=generator)
        results = []
        for dtype, conv in ((torch.float32, causal_conv), (torch.float64, causal_conv_ref)):
            given = x.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
            y = conv(given[0], given[1], torch.tensor(offsets), reverse=reverse)
            results.append([y, *torch.autograd.grad(y, given, grad.to(dtype))])
        for fast, slow in zip(*results, strict=True):
            scale = float(slow.detach().abs().amax()) if slow.numel() else 0.0
            torch.testing.assert_close(fast.double(), slow, atol=3e-6 * scale, rtol=0)


@compiled
@pytest.mark.parametrize("width", [2, 3])
def test_a_text_has_the_same_bits_alone_in_a_batch_and_with_any_number_of_threads(width: int) -> None:
    offsets = [0, 200, 207, 208, 420]
    x, weight = torch.randn(420, 33), torch.randn(width, 20, 33)
    together = causal_conv(x, weight, torch.tensor(offsets))
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        assert torch.equal(causal_conv(x[begin:end], weight, torch.tensor([0, end - begin])), together[begin:end])
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(causal_conv(x, weight, torch.tensor(offsets)), together)
    finally:
        torch.set_num_threads(threads)


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
    x, weight = (part.detach().float() for part in inputs(2, offsets))
    y = causal_conv(x, weight.requires_grad_(), offsets)
    torch.autograd.backward(y.sum())
    assert weight.grad is not None and x.grad is None


def test_nothing_of_a_neighbour_leaks_into_a_text() -> None:
    offsets = torch.tensor([0, 3, 6])
    x, weight = (part.detach().float() for part in inputs(2, offsets))
    spoiled = x.clone()
    spoiled[:3] = torch.nan
    assert torch.equal(causal_conv(spoiled, weight, offsets)[3:], causal_conv(x, weight, offsets)[3:])
