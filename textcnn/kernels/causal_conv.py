"""The convolution before a QRNN's gates: every token together with those just before it, in a ragged batch.

On a CPU windows of two and of three tokens are computed by Winograd's F(3, 2) and F(2, 3): each text is cut into tiles
of three or two tokens, and a tile takes four products in the place of six. So do both gradients. The algebra stands in
_winograd.h; what is transformed there are a tile's inputs, here the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from textcnn.kernels.choose import choose
from textcnn.kernels.native import in_ranges, native

Tensor = torch.Tensor
WIDTHS = (2, 3)
GRAIN = 64  # tiles, below which a second thread does not pay
ROWS = 4  # that are multiplied at once: tiles of zeros fill the last ones up


def causal_conv(x: Tensor, weight: Tensor, offsets: Tensor, *, reverse: bool = False) -> Tensor:
    """y_t = sum over j of weight[j] x_{t - j}, or x_{t + j} if `reverse`; what would lie outside the text is zero.

    `x` float[N, in_dim], all texts end to end, `offsets` int64[B + 1], `weight` float[width, out_dim, in_dim]. Returns
    float[N, out_dim].
    """
    # autocast asks for products in half precision
    plain = x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or len(weight) not in WIDTHS or not len(x)
    if plain or choose("causal_conv", x) != "native":
        return causal_conv_ref(x, weight, offsets, reverse=reverse)
    y: Tensor = _Winograd.apply(x, weight, offsets, reverse)  # type: ignore[no-untyped-call]
    return y


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
        tiles = _Tiles(offsets.numpy(), len(weight), reverse)
        lifted = tiles.lift(x.contiguous(), outputs=False)
        ctx.tiles, ctx.tokens = tiles, len(x)
        ctx.save_for_backward(lifted, weight)
        points = _lift_weights(weight, reverse)
        return tiles.multiply(lifted, _pack(points.transpose(1, 2)), len(x), weight.shape[1], inputs=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        lifted, weight = ctx.saved_tensors
        tiles, (width, out_dim, in_dim) = ctx.tiles, weight.shape
        lifted_grad = tiles.lift(grad.contiguous(), outputs=True)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            points = _lift_weights(weight, tiles.reverse)
            grad_x = tiles.multiply(lifted_grad, _pack(points), ctx.tokens, in_dim, inputs=True)
        if ctx.needs_input_grad[1]:
            points = tiles.outer(lifted, lifted_grad)[:, :in_dim, :out_dim].transpose(1, 2)
            grad_weight = _lower_weights(points, width, tiles.reverse)
        return grad_x, grad_weight, None, None


def _lift_weights(weight: Tensor, reverse: bool) -> Tensor:
    """G w: [width, out_dim, in_dim] -> [4, out_dim, in_dim], a plane each for the points 0, 1, -1 and infinity."""
    taps = weight if reverse else weight.flip(0)
    odd = taps[1]
    even = taps[0] if len(taps) == 2 else taps[0] + taps[2]
    return torch.stack([taps[0], (even + odd) / 2, (even - odd) / 2, taps[-1]])


def _lower_weights(points: Tensor, width: int, reverse: bool) -> Tensor:
    """G^T: the transposed of _lift_weights."""
    even, odd = (points[1] + points[2]) / 2, (points[1] - points[2]) / 2
    taps = [even, odd, even][:width]
    taps[0] = taps[0] + points[0]
    taps[-1] = taps[-1] + points[3]
    return torch.stack(taps if reverse else taps[::-1])


def _pack(points: Tensor) -> Tensor:
    """[4, dim, columns] -> [4, columns / PACK, dim, PACK], filled up with zeros."""
    pack = _module().PACK
    padded = F.pad(points, (0, -points.shape[2] % pack))
    return padded.view(*points.shape[:2], -1, pack).transpose(1, 2).contiguous()


class _Tiles:
    """The texts of a batch cut into tiles, and the compiled kernels over them."""

    def __init__(self, offsets: npt.NDArray[np.int64], width: int, reverse: bool) -> None:
        self.width, self.reverse = width, reverse
        outputs = 5 - width
        counts = -(-np.diff(offsets) // outputs)
        self.bounds = np.concatenate([[0], np.cumsum(counts)])  # of every text's tiles
        self.used = int(self.bounds[-1])
        self.count = self.used + ROWS - 1
        text = np.repeat(np.arange(len(counts)), counts)
        first = offsets[text] + outputs * (np.arange(self.used) - self.bounds[text]) - (0 if reverse else width - 1)
        rows = first[:, None] + np.arange(4)
        rows[(rows < offsets[text, None]) | (rows >= offsets[text + 1, None])] = -1
        self.rows = np.concatenate([rows, np.full((self.count - self.used, 4), -1)])

    def lift(self, source: Tensor, *, outputs: bool) -> Tensor:
        """[tokens, dim] -> [4, tiles, pitch]."""
        dim = source.shape[1]
        lifted = source.new_empty(4, self.count, dim + -dim % _module().PACK)
        arrays = source.detach().numpy(), self.rows, lifted.numpy()
        sizes = dim, self.count, lifted.shape[2], self.width, self.reverse, outputs
        _share(lambda begin, end: _module().lift(*arrays, *sizes, begin, end), self.count, GRAIN)
        return lifted

    def multiply(self, lifted: Tensor, packed: Tensor, tokens: int, columns: int, *, inputs: bool) -> Tensor:
        """[4, tiles, pitch] and weights -> outputs float[tokens, columns], or gradients of the inputs."""
        out = lifted.new_empty(tokens, columns)
        arrays = lifted.numpy(), packed.detach().numpy(), self.rows, out.numpy()
        sizes = packed.shape[2], self.count, lifted.shape[2], columns, self.width, self.reverse, inputs

        def texts(begin: int, end: int) -> None:
            _module().multiply(*arrays, *sizes, int(self.bounds[begin]), int(self.bounds[end]))

        _share(texts, len(self.bounds) - 1, max(1, GRAIN * (len(self.bounds) - 1) // self.used))
        return out

    def outer(self, x: Tensor, y: Tensor) -> Tensor:
        """x^T y over all tiles, a plane a point."""
        out = x.new_empty(4, x.shape[2], y.shape[2])
        arrays = x.numpy(), y.numpy(), out.numpy()
        sizes = self.count, x.shape[2], y.shape[2]
        _share(lambda begin, end: _module().outer(*arrays, *sizes, begin, end), 4 * y.shape[2] // _module().PACK, 1)
        return out


def _module() -> Any:
    module = native()
    assert module is not None
    return module


def _share(work: Callable[[int, int], None], count: int, grain: int) -> None:
    in_ranges(work, count, threads=torch.get_num_threads(), grain=grain)
