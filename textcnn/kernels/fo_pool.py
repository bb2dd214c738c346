"""The recurrence of a quasi-recurrent network, h_t = f_t h_{t-1} + (1 - f_t) z_t, a channel by itself, ragged batches.

Bradbury et al. 2017 (section 2) call it f-pooling; fo-pooling multiplies h by an output gate o, ifo-pooling puts an
input gate i of its own in the place of 1 - f. It is the only part of a QRNN that runs through time and there is no
matrix in it, so what counts is to touch memory once. `gate_pool` therefore takes what the convolution gives and applies
bias, tanh and sigmoids on the way; its backward computes them anew, which is cheaper than writing and reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch.autograd.function import once_differentiable

from textcnn.kernels.choose import Way, choose
from textcnn.kernels.native import in_ranges, native
from textcnn.kernels.table_gather import PARTS

Tensor = torch.Tensor
Pooling = Literal["f", "fo", "ifo"]
LANES = 16  # threads share the channels in blocks of this many
GRAIN = 1 << 15  # floats below which a second thread does not pay


def fo_pool(
    z: Tensor, f: Tensor, offsets: Tensor,
    *, i: Tensor | None = None, initial: Tensor | None = None, reverse: bool = False,
) -> Tensor:  # fmt: skip
    """h_t = f_t h_{t-1} + i_t z_t, where i = 1 - f unless it is given. An output gate is a product behind it.

    `z`, `f` and `i` are float[N, dim], all texts end to end, and `offsets` int64[B + 1] says where each starts.
    `initial` float[B, dim] is the state before the first token, else zeros. `reverse` runs through every text from its
    end to its start. Returns float[N, dim].
    """
    z, f = _full(z), _full(f)
    i, initial = None if i is None else _full(i), None if initial is None else _full(initial)
    way = choose("fo_pool", z)
    if way == "torch":
        return fo_pool_ref(z, f, offsets, i=i, initial=initial, reverse=reverse)
    assert f.shape == z.shape and (i is None or i.shape == z.shape)
    inputs = (z, f) if i is None else (z, f, i)
    apply: Callable[..., Tensor] = _Pool.apply
    return apply(way, reverse, z.shape[1], offsets, None, initial, *inputs)


def gate_pool(
    gates: Tensor, bias: Tensor, offsets: Tensor,
    *, pooling: Pooling = "fo", initial: Tensor | None = None, reverse: bool = False,
) -> Tensor:  # fmt: skip
    """A QRNN layer behind its convolution: z = tanh, f, o, i = sigmoid of gates + bias; o_t h_t, or h_t without an o.

    `gates` float[N, PARTS[pooling] * dim] holds z, f, o, i side by side, as one matrix product gives them, and `bias`
    float[PARTS[pooling] * dim] likewise. The rest as in `fo_pool`.
    """
    gates, bias, initial = _full(gates), _full(bias), None if initial is None else _full(initial)
    way = choose("gate_pool", gates)
    if way == "torch":
        return gate_pool_ref(gates, bias, offsets, pooling=pooling, initial=initial, reverse=reverse)
    dim = gates.shape[1] // PARTS[pooling]
    assert gates.shape[1] == len(bias) == dim * PARTS[pooling]
    apply: Callable[..., Tensor] = _Pool.apply
    return apply(way, reverse, dim, offsets, bias, initial, gates)


def _full(x: Tensor) -> Tensor:
    """What autocast left in half precision as float32: a state adds up many small steps."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def zoneout(f: Tensor, rate: float, *, kept: float = 1.0) -> Tensor:
    """f' = 1 - dropout(1 - f), not rescaled: with probability `rate` a channel keeps its state. While training only.

    `kept` is the value that keeps everything: 1 for a gate, torch.inf for its pre-activation.
    """
    return f.masked_fill(torch.rand_like(f) < rate, kept)


def fo_pool_ref(
    z: Tensor, f: Tensor, offsets: Tensor,
    *, i: Tensor | None = None, initial: Tensor | None = None, reverse: bool = False,
) -> Tensor:  # fmt: skip
    """fo_pool as a loop over time in plain torch, any device and type."""
    i = 1 - f if i is None else i
    # longest text first: the texts that still run at step t are then the first so many
    lengths, order = offsets.diff().sort(descending=True, stable=True)
    first = offsets[1:][order] - 1 if reverse else offsets[:-1][order]
    t = torch.arange(int(lengths.max()) if len(lengths) else 0, device=z.device)[:, None]
    running = t < lengths  # (T, B)
    rows = (first - t if reverse else first + t)[running]  # every text's first token, then every second one ...
    if not len(rows):
        return z.clone()
    h = z.new_zeros(len(lengths), z.shape[1]) if initial is None else initial[order]
    states = []
    counts = running.sum(1).tolist()
    for z_t, f_t, i_t in zip(*(torch.split(part[rows], counts) for part in (z, f, i)), strict=True):
        h = f_t * h[: len(z_t)] + i_t * z_t
        states.append(h)
    return torch.empty_like(z).index_copy(0, rows, torch.cat(states))


def gate_pool_ref(
    gates: Tensor, bias: Tensor, offsets: Tensor,
    *, pooling: Pooling = "fo", initial: Tensor | None = None, reverse: bool = False,
) -> Tensor:  # fmt: skip
    """gate_pool in plain torch, any device and type."""
    z, f, *others = (gates + bias).chunk(PARTS[pooling], 1)
    o, i = [*(gate.sigmoid() for gate in others), None, None][:2]
    h = fo_pool_ref(z.tanh(), f.sigmoid(), offsets, i=i, initial=initial, reverse=reverse)
    return h if o is None else o * h


class _Pool(torch.autograd.Function):
    """`inputs` are z, f and perhaps i; or, where there is a bias, one matrix of gates."""

    @staticmethod
    def forward(
        ctx: Any, way: Way, reverse: bool, dim: int, offsets: Tensor, bias: Tensor | None, initial: Tensor | None,
        *inputs: Tensor,
    ) -> Tensor:  # fmt: skip
        inputs = tuple(part.contiguous() for part in inputs)
        bias, initial = (None if part is None else part.contiguous() for part in (bias, initial))
        h = inputs[0].new_empty(len(inputs[0]), dim)
        columns = _columns(inputs, dim)
        out = None if columns[2] is None else torch.empty_like(h)
        forward, _ = _kernels(way)
        forward(columns, bias, initial, offsets, h, out, inputs[0].shape[1], reverse)
        ctx.way, ctx.reverse = way, reverse
        ctx.save_for_backward(offsets, bias, initial, h, *inputs)
        return h if out is None else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        offsets, bias, initial, h, *inputs = ctx.saved_tensors
        grads = [torch.empty_like(part) for part in inputs]
        grad_bias = None if bias is None else torch.zeros_like(bias)
        grad_initial = h.new_empty(len(offsets) - 1, h.shape[1])
        columns, grad_columns = _columns(inputs, h.shape[1]), _columns(grads, h.shape[1])
        _, backward = _kernels(ctx.way)
        backward(
            columns, bias, initial, offsets, h, grad.contiguous(), grad_columns, grad_bias, grad_initial,
            inputs[0].shape[1], ctx.reverse,
        )  # fmt: skip
        return None, None, None, None, grad_bias, grad_initial if initial is not None else None, *grads


def _columns(inputs: Sequence[Tensor], dim: int) -> list[Tensor | None]:
    """z, f, o and i as flat arrays, None for what there is not; a row begins every inputs[0].shape[1] floats."""
    if len(inputs) == 1:
        flat = inputs[0].view(-1)
        parts: list[Tensor | None] = [flat[start:] for start in range(0, inputs[0].shape[1], dim)]
    else:
        z, f, *i = (part.view(-1) for part in inputs)
        parts = [z, f, None, *i]
    return [*parts, None, None][:4]


def _kernels(way: Way) -> tuple[Callable[..., None], Callable[..., None]]:
    if way == "native":
        return _forward, _backward
    from textcnn.kernels import triton_fo_pool  # triton is not there on every machine

    return triton_fo_pool.forward, triton_fo_pool.backward


def _forward(
    columns: list[Tensor | None], bias: Tensor | None, initial: Tensor | None, offsets: Tensor, h: Tensor,
    out: Tensor | None, pitch: int, reverse: bool,
) -> None:  # fmt: skip
    module = native()
    assert module is not None
    tensors = [*columns, bias, initial, offsets, h, out]
    _share(module.fo_pool, tensors, h, (len(offsets) - 1, h.shape[1], pitch, reverse))


def _backward(
    columns: list[Tensor | None], bias: Tensor | None, initial: Tensor | None, offsets: Tensor, h: Tensor, grad: Tensor,
    grad_columns: list[Tensor | None], grad_bias: Tensor | None, grad_initial: Tensor, pitch: int, reverse: bool,
) -> None:  # fmt: skip
    module = native()
    assert module is not None
    tensors = [*columns, bias, initial, offsets, h, grad, *grad_columns, grad_bias, grad_initial]
    _share(module.fo_pool_backward, tensors, h, (len(offsets) - 1, h.shape[1], pitch, reverse))


def _share(kernel: Callable[..., None], tensors: list[Tensor | None], h: Tensor, sizes: tuple[int, ...]) -> None:
    """Run a compiled kernel, every thread on channels of its own; a channel's numbers do not depend on their number."""
    arrays = [None if tensor is None else tensor.detach().numpy() for tensor in tensors]
    tokens, dim = h.shape

    def work(begin: int, end: int) -> None:
        kernel(*arrays, *sizes, begin * LANES, min(end * LANES, dim))

    blocks = -(-dim // LANES)
    in_ranges(work, blocks, threads=torch.get_num_threads(), grain=max(1, GRAIN // (LANES * max(1, tokens))))
