"""The GPU's kernels beside the plain references: on the GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from textcnn.kernels import conv_max as conv_max_module
from textcnn.kernels import fo_pool as fo_pool_module
from textcnn.kernels.conv_max import conv_max, conv_max_ref
from textcnn.kernels.fo_pool import PARTS, Pooling, fo_pool, fo_pool_ref, gate_pool, gate_pool_ref
from textcnn.kernels.windows import Padding, Windows

pytest.importorskip("triton", reason="triton is not installed; pip install -e '.[triton]'")
# after the line above: the kernels are written in triton
from textcnn.kernels import triton_conv_max, triton_fo_pool

Tensor = torch.Tensor
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OFFSETS = torch.tensor([0, 4, 4, 5, 14, 16], device=DEVICE)  # lengths 4, 0, 1, 9, 2


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts and channels of several tiles, the last of them not full; and Triton whatever the device."""
    tiles: list[tuple[ModuleType, str, int]] = [
        (triton_fo_pool, "STEPS", 4), (triton_fo_pool, "CHANNELS", 4),
        (triton_conv_max, "WINDOWS", 4), (triton_conv_max, "FILTERS", 4),
    ]  # fmt: skip
    for module, name, value in tiles:
        monkeypatch.setattr(module, name, value)
    for module in (fo_pool_module, conv_max_module):
        monkeypatch.setattr(module, "choose", lambda *_, **__: "triton")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE).requires_grad_()


def with_gradients(h: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, h.numel(), device=DEVICE).view_as(h)
    return [h, *torch.autograd.grad((h * weights).sum(), inputs)]


def assert_equal(fast: list[Tensor], slow: list[Tensor]) -> None:
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("pooling", "reverse", "given_states"),
    [("f", True, True), ("fo", False, False), ("fo", True, True), ("ifo", False, True)],
)
def test_gate_pool(pooling: Pooling, reverse: bool, given_states: bool) -> None:
    columns = PARTS[pooling] * 5
    gates, bias, initial = draw(16, columns), draw(columns, seed=1), draw(5, 5, seed=2)
    options: Any = {"pooling": pooling, "reverse": reverse, "initial": initial if given_states else None}
    inputs = [gates, bias, initial] if given_states else [gates, bias]
    fast, slow = (with_gradients(pool(gates, bias, OFFSETS, **options), *inputs) for pool in (gate_pool, gate_pool_ref))
    assert_equal(fast, slow)


@pytest.mark.parametrize("input_gate", [False, True])
def test_fo_pool(input_gate: bool) -> None:
    z, f, initial, i = draw(16, 5), draw(16, 5, seed=1), draw(5, 5, seed=2), draw(16, 5, seed=3)
    options: Any = {"initial": initial, "i": i if input_gate else None, "reverse": not input_gate}
    inputs = [z, f, initial, i] if input_gate else [z, f, initial]
    fast, slow = (with_gradients(pool(z, f, OFFSETS, **options), *inputs) for pool in (fo_pool, fo_pool_ref))
    assert_equal(fast, slow)


@pytest.mark.parametrize("padding", ["valid", "same", "wide"])
def test_conv_max(padding: Padding) -> None:
    windows = Windows((2, 5), (6, 1), padding)
    values = torch.randint(0, 8, (16,), generator=torch.Generator().manual_seed(0), dtype=torch.int32).to(DEVICE)
    x, weight, bias = draw(8, 3), draw(windows.rows, 3, seed=1), draw(windows.features, seed=2)
    results = []
    for function in (conv_max, conv_max_ref):
        best, starts = function(x, values, OFFSETS, weight, bias, windows)
        results.append([starts, best, *with_gradients(torch.where(best.isinf(), 0.0, best), x, weight, bias)])
    assert_equal(*results)


def test_a_batch_without_texts() -> None:
    nothing = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    assert gate_pool(draw(0, 15), draw(15), nothing).shape == (0, 5)
    best, _ = conv_max(draw(8, 3), nothing[:0].int(), nothing, draw(8, 3), draw(4), Windows((2,), (4,)))
    assert best.shape == (0, 4)
