"""fo_pool on a GPU: one program per text and block of channels walks through the text in tiles of some steps.

A tile is loaded whole, so that many bytes are under way at once, and an associative scan puts its steps together: two
steps h -> f h + b in a row are one such step. Inputs are read once and outputs written once; the memory's bandwidth is
the limit. No two programs write the same place and sums have a fixed order, so results repeat.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

Tensor = torch.Tensor
Columns = list[Tensor | None]
# A tile: 32 floats are one line of the memory, and one warp alone needs no barrier for its scan.
STEPS, CHANNELS, WARPS = 16, 32, 1


def forward(
    columns: Columns, bias: Tensor | None, initial: Tensor | None, offsets: Tensor, h: Tensor, out: Tensor | None,
    pitch: int, reverse: bool,
) -> None:  # fmt: skip
    """Fill `h` float[N, dim] and, where there is an output gate, `out`; the arguments of fo_pool._forward."""
    texts, dim = len(offsets) - 1, h.shape[1]
    if not texts:
        return
    with torch.cuda.device_of(h):
        _forward[(texts, triton.cdiv(dim, CHANNELS))](
            *_pointers(*columns, bias, initial, offsets, h, out), dim, pitch,
            **_options(columns, bias, initial, reverse),
        )  # fmt: skip


def backward(
    columns: Columns, bias: Tensor | None, initial: Tensor | None, offsets: Tensor, h: Tensor, grad: Tensor,
    grad_columns: Columns, grad_bias: Tensor | None, grad_initial: Tensor, pitch: int, reverse: bool,
) -> None:  # fmt: skip
    """Fill the gradients; the arguments of fo_pool._backward."""
    texts, dim = len(offsets) - 1, h.shape[1]
    if not texts:
        return
    # every text's part of the bias gradient, summed below: atomic additions would have no fixed order
    parts = None if bias is None else bias.new_empty(texts, len(bias))
    with torch.cuda.device_of(h):
        _backward[(texts, triton.cdiv(dim, CHANNELS))](
            *_pointers(*columns, bias, initial, offsets, h, grad, *grad_columns, parts, grad_initial), dim, pitch,
            **_options(columns, bias, initial, reverse),
        )  # fmt: skip
    if grad_bias is not None and parts is not None:
        torch.sum(parts, 0, out=grad_bias)


def _pointers(*tensors: Tensor | None) -> list[Tensor]:
    """Any tensor in the place of one that is not there: the options say that it is not read."""
    some = next(tensor for tensor in tensors if tensor is not None)
    return [some if tensor is None else tensor for tensor in tensors]


def _options(columns: Columns, bias: Tensor | None, initial: Tensor | None, reverse: bool) -> dict[str, int]:
    """What a kernel is compiled for."""
    _, _, o, i = columns
    return {
        "ACTIVE": bias is not None, "HAS_O": o is not None, "HAS_I": i is not None,
        "HAS_INITIAL": initial is not None, "REVERSE": reverse, "STEPS": STEPS, "CHANNELS": CHANNELS,
        "num_warps": WARPS,
    }  # fmt: skip


@triton.jit
def _compose(keep_1, add_1, keep_2, add_2):
    """First h -> keep_1 h + add_1, then h -> keep_2 h + add_2."""
    return keep_1 * keep_2, keep_2 * add_1 + add_2


@triton.jit
def _gate(gate, bias, block, at, inside, column, channel, dim, ACTIVE: tl.constexpr):
    """The gate's values in a tile [STEPS, CHANNELS]; its bias is the `block`-th in `bias`."""
    x = tl.load(gate + at, mask=inside, other=0.0)
    if ACTIVE:
        x = tl.sigmoid(x + tl.load(bias + block * dim + column, mask=channel, other=0.0)[None, :])
    return x


@triton.jit
def _candidate(z, bias, at, inside, column, channel, ACTIVE: tl.constexpr):
    """z in a tile; tanh x = 2 sigmoid(2 x) - 1."""
    x = tl.load(z + at, mask=inside, other=0.0)
    if ACTIVE:
        x = 2.0 * tl.sigmoid(2.0 * (x + tl.load(bias + column, mask=channel, other=0.0)[None, :])) - 1.0
    return x


@triton.jit
def _forward(
    z, f, o, i, bias, initial, offsets, h, out, dim, pitch,
    ACTIVE: tl.constexpr, HAS_O: tl.constexpr, HAS_I: tl.constexpr, HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr,
    STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    text = tl.program_id(0).to(tl.int64)
    start = tl.load(offsets + text)
    length = (tl.load(offsets + text + 1) - start).to(tl.int32)
    column = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    channel = column < dim
    step = tl.arange(0, STEPS)
    state = tl.zeros([CHANNELS], tl.float32)
    if HAS_INITIAL:
        state = tl.load(initial + text * dim + column, mask=channel, other=0.0)
    for first in range(0, length, STEPS):
        n = first + step
        row = start + n
        if REVERSE:
            row = start + length - 1 - n
        inside = (n < length)[:, None] & channel[None, :]
        at = row[:, None] * pitch + column[None, :]
        z_t = _candidate(z, bias, at, inside, column, channel, ACTIVE)
        f_t = _gate(f, bias, 1, at, inside, column, channel, dim, ACTIVE)
        i_t = 1.0 - f_t
        if HAS_I:
            i_t = _gate(i, bias, 3, at, inside, column, channel, dim, ACTIVE)
        keep, add = tl.associative_scan((f_t, i_t * z_t), 0, _compose)
        h_t = keep * state[None, :] + add
        place = row[:, None] * dim + column[None, :]
        tl.store(h + place, h_t, mask=inside)
        if HAS_O:
            o_t = _gate(o, bias, 2, at, inside, column, channel, dim, ACTIVE)
            tl.store(out + place, o_t * h_t, mask=inside)
        state = tl.sum(tl.where((step == STEPS - 1)[:, None], h_t, 0.0), 0)


@triton.jit
def _backward(
    z, f, o, i, bias, initial, offsets, h, grad, grad_z, grad_f, grad_o, grad_i, grad_bias, grad_initial, dim, pitch,
    ACTIVE: tl.constexpr, HAS_O: tl.constexpr, HAS_I: tl.constexpr, HAS_INITIAL: tl.constexpr, REVERSE: tl.constexpr,
    STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """With u_t = dL/dh_t: u_t = o_t dL/dout_t + f_{t+1} u_{t+1}, the same recurrence from the end, one gate later."""
    text = tl.program_id(0).to(tl.int64)
    start = tl.load(offsets + text)
    length = (tl.load(offsets + text + 1) - start).to(tl.int32)
    column = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    channel = column < dim
    step = tl.arange(0, STEPS)
    state = tl.zeros([CHANNELS], tl.float32)  # u of the step that comes next in time
    sum_z, sum_f, sum_o, sum_i = state, state, state, state
    u_initial = state
    later = 1  # rows from a step to the one that comes next in time
    if REVERSE:
        later = -1
    for first in range(0, length, STEPS):
        n = length - 1 - first - step  # steps before this one
        row = start + n
        if REVERSE:
            row = start + first + step
        inside = (n >= 0)[:, None] & channel[None, :]
        at = row[:, None] * pitch + column[None, :]
        place = row[:, None] * dim + column[None, :]
        z_t = _candidate(z, bias, at, inside, column, channel, ACTIVE)
        f_t = _gate(f, bias, 1, at, inside, column, channel, dim, ACTIVE)
        not_last = inside & (n < length - 1)[:, None]
        f_next = _gate(f, bias, 1, at + later * pitch, not_last, column, channel, dim, ACTIVE)
        not_first = inside & (n > 0)[:, None]
        before = tl.load(h + place - later * dim, mask=not_first, other=0.0)
        if HAS_INITIAL:
            start_state = tl.load(initial + text * dim + column, mask=channel, other=0.0)
            before = tl.where((n == 0)[:, None], start_state[None, :], before)
        grad_t = tl.load(grad + place, mask=inside, other=0.0)
        u_t = grad_t
        if HAS_O:
            o_t = _gate(o, bias, 2, at, inside, column, channel, dim, ACTIVE)
            u_t = grad_t * o_t
            g_o = grad_t * tl.load(h + place, mask=inside, other=0.0)
            if ACTIVE:
                g_o = g_o * o_t * (1.0 - o_t)
                sum_o += tl.sum(tl.where(inside, g_o, 0.0), 0)
            tl.store(grad_o + at, g_o, mask=inside)
        keep, add = tl.associative_scan((f_next, u_t), 0, _compose)
        u_t = keep * state[None, :] + add
        state = tl.sum(tl.where((step == STEPS - 1)[:, None], u_t, 0.0), 0)
        u_initial += tl.sum(tl.where((n == 0)[:, None], f_t * u_t, 0.0), 0)
        g_z = u_t * (1.0 - f_t)
        g_f = u_t * (before - z_t)
        if HAS_I:
            i_t = _gate(i, bias, 3, at, inside, column, channel, dim, ACTIVE)
            g_z = u_t * i_t
            g_f = u_t * before
            g_i = u_t * z_t
            if ACTIVE:
                g_i = g_i * i_t * (1.0 - i_t)
                sum_i += tl.sum(tl.where(inside, g_i, 0.0), 0)
            tl.store(grad_i + at, g_i, mask=inside)
        if ACTIVE:
            g_z = g_z * (1.0 - z_t * z_t)
            g_f = g_f * f_t * (1.0 - f_t)
            sum_z += tl.sum(tl.where(inside, g_z, 0.0), 0)
            sum_f += tl.sum(tl.where(inside, g_f, 0.0), 0)
        tl.store(grad_z + at, g_z, mask=inside)
        tl.store(grad_f + at, g_f, mask=inside)
    tl.store(grad_initial + text * dim + column, u_initial, mask=channel)
    if ACTIVE:
        blocks = 2 + HAS_O + HAS_I
        part = grad_bias + text * blocks * dim + column
        tl.store(part, sum_z, mask=channel)
        tl.store(part + dim, sum_f, mask=channel)
        if HAS_O:
            tl.store(part + 2 * dim, sum_o, mask=channel)
        if HAS_I:
            tl.store(part + 3 * dim, sum_i, mask=channel)
