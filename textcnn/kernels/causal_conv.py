"""The convolution before a QRNN's gates: every token together with those just before it, in a ragged batch.

On a CPU windows of two and of three tokens are computed by Winograd's F(3, 2) and F(2, 3): each text is cut into tiles
of three or two tokens, and a tile takes four products in the place of six. So do both gradients. The algebra stands in
_winograd.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from textcnn.kernels.choose import choose
from textcnn.kernels.native import in_ranges, native

Tensor = torch.Tensor
WIDTHS = (2, 3)
GRAIN = 64  # tiles, below which a second thread does not pay
ROWS = 6  # of an outer product are computed together


def causal_conv(x: Tensor, weight: Tensor, offsets: Tensor, *, reverse: bool = False) -> Tensor:
    """y_t = sum over j of weight[j] x_{t - j}, or x_{t + j} if `reverse`; what would lie outside the text is zero.

    `x` float[N, in_dim], all texts end to end, `offsets` int64[B + 1], `weight` float[width, out_dim, in_dim]. Returns
    float[N, out_dim].
    """
    # autocast asks for products in half precision
    plain = x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or len(weight) not in WIDTHS or not len(x)
    if plain or choose("causal_conv", x) != "native":
        return causal_conv_ref(x, weight, offsets, reverse=reverse)
    apply: Callable[..., Tensor] = _Winograd.apply
    return apply(x, weight, offsets, reverse)


def causal_conv_ref(x: Tensor, weight: Tensor, offsets: Tensor, *, reverse: bool = False) -> Tensor:
    """The same as one matrix product over copies of the windows; any width, device and type."""
    token, length = torch.arange(len(x), device=x.device), offsets.diff()
    edge = torch.repeat_interleave(offsets[1:] - 1 if reverse else offsets[:-1], length, output_size=len(x))
    windows = []
    for j in range(len(weight)):
        outside = (edge - token).abs() < j
        windows.append(x.roll(-j if reverse else j, 0).masked_fill(outside[:, None], 0.0))
    return torch.cat(windows, 1) @ weight.transpose(1, 2).flatten(0, 1)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, offsets: Tensor, reverse: bool) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.tiles = _Tiles(offsets.numpy(), len(weight), reverse)
        ctx.save_for_backward(x, weight)
        tiles: _Tiles = ctx.tiles
        return tiles.conv(x, weight, back=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = ctx.tiles.conv(grad, weight, back=True) if ctx.needs_input_grad[0] else None
        grad_weight = ctx.tiles.grad_weight(x, grad) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, None, None


class _Tiles:
    """The texts of a batch cut into tiles, and the compiled kernels over them."""

    def __init__(self, offsets: npt.NDArray[np.int64], width: int, reverse: bool) -> None:
        self.width, self.reverse = width, reverse
        outputs = 5 - width
        counts = -(-np.diff(offsets) // outputs)
        self.bounds = np.concatenate([[0], np.cumsum(counts)])  # of every text's tiles
        self.count = int(self.bounds[-1])
        text = np.repeat(np.arange(len(counts)), counts)
        first = offsets[text] + outputs * (np.arange(self.count) - self.bounds[text]) - (0 if reverse else width - 1)
        self.rows = first[:, None] + np.arange(4)
        self.rows[(self.rows < offsets[text, None]) | (self.rows >= offsets[text + 1, None])] = -1

    def conv(self, x: Tensor, weight: Tensor, *, back: bool) -> Tensor:
        """float[N, in_dim] -> float[N, out_dim]; with `back` from the outputs' gradients to the inputs'."""
        module, _, out_dim, in_dim = _module(), *weight.shape
        dim, columns = (out_dim, in_dim) if back else (in_dim, out_dim)
        packed = x.new_empty(4, -(-columns // module.PACK), dim, module.PACK)
        if columns % module.PACK:
            packed[:, -1] = 0.0  # what fills up the last one
        how = self.width, self.reverse, back
        module.tile_pack(weight.detach().numpy(), packed.numpy(), in_dim, out_dim, *how, 0, packed.shape[1])
        out = x.new_empty(len(x), columns)
        arrays = x.detach().numpy(), packed.numpy(), self.rows, out.numpy()

        def texts(begin: int, end: int) -> None:
            module.tile_conv(*arrays, dim, columns, self.count, *how, int(self.bounds[begin]), int(self.bounds[end]))

        _share(texts, len(self.bounds) - 1, max(1, GRAIN * (len(self.bounds) - 1) // self.count))
        return out

    def grad_weight(self, x: Tensor, grad: Tensor) -> Tensor:
        """The weights' gradient float[width, out_dim, in_dim]: G^T of the tiles' products."""
        module, in_dim, out_dim = _module(), x.shape[1], grad.shape[1]
        blocks = -(-out_dim // module.PACK)
        points = x.new_empty(4, in_dim + -in_dim % ROWS, blocks * module.PACK)
        arrays = x.detach().numpy(), grad.numpy(), self.rows, points.numpy()
        sizes = in_dim, out_dim, self.count, self.width, self.reverse, False
        _share(lambda begin, end: module.tile_outer(*arrays, *sizes, begin, end), 4 * blocks, 1)
        zero, plus, minus, last = points[:, :in_dim, :out_dim].transpose(1, 2)
        even, odd = (plus + minus) / 2, (plus - minus) / 2
        taps = [zero + even, odd + last] if self.width == 2 else [zero + even, odd, even + last]
        return torch.stack(taps if self.reverse else taps[::-1])


def _module() -> Any:
    module = native()
    assert module is not None
    return module


def _share(work: Callable[[int, int], None], count: int, grain: int) -> None:
    in_ranges(work, count, threads=torch.get_num_threads(), grain=grain)
