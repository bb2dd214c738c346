"""A QRNN layer, forward and backward, beside nn.LSTM and beside itself written with torch operations.

What limits it. Nine tenths of the layer are matrix products, of which Winograd's algorithm saves a third; they run at
what the arithmetic units give. The recurrence reads and writes its arrays once and is limited by the memory. nn.LSTM
multiplies a few rows by a large matrix at every step, one step after the other. In torch operations the gates are one
product over copied windows, then there is a loop over time, in one of two ways: as one writes it,
h = f[:, t] * h + (1 - f[:, t]) * z[:, t], and the gradient of every index is a whole array of zeros (cpu_over_loop); or
carefully, all steps taken apart at once and what can be done before the loop done there (cpu_over_careful_loop), where
products are again most of the time.

The figures are those of one thread, and all_threads has the same with all. There nn.LSTM and the loops wait for all
threads at every step, and whatever else runs on the machine slows them down out of proportion: believe it only where
the machine was quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from benchmarks import machine
from benchmarks.machine import Work, interleave, say
from textcnn.kernels.causal_conv import causal_conv, causal_conv_ref
from textcnn.kernels.fo_pool import gate_pool
from textcnn.nn.blocks.qrnn import QRNNLayer

Tensor = torch.Tensor
TEXTS, STEPS, DIM = 8, 512, 320
LIMITS = {
    "cpu_over_lstm": "the three matrix products of the layer, forward and back: see ms.products",
    "cpu_over_loop": "the same products; the loop's own time is indexing and its gradient, which no thread shortens",
}


def run(*, quick: bool = False) -> dict[str, Any]:
    about = machine.describe()
    torch.manual_seed(0)
    rounds, threads = 2 if quick else 9, torch.get_num_threads()
    say(f"layer, nn.LSTM, loops: {TEXTS} texts of {STEPS} steps, {DIM} channels, {rounds} rounds ...")
    torch.set_num_threads(1)
    seconds = interleave(works(), rounds)
    torch.set_num_threads(threads)
    wide = interleave({name: work for name, work in works().items() if name.startswith(("layer", "lstm"))}, rounds)
    return {
        **ratios(seconds),
        "recurrence_over_careful_loop": seconds["careful_loop"] / seconds["recurrence"],
        "ms": {name: 1000 * value for name, value in seconds.items()},
        "all_threads": {
            "threads": threads,
            **ratios(wide),
            "ms": {name: 1000 * value for name, value in wide.items()},
        },
        "limits": LIMITS,
        "machine": about,
    }


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    return {
        "cpu_over_lstm": seconds["lstm"] / seconds["layer"],
        "cpu_over_loop": seconds["layer_with_loop"] / seconds["layer"],
        "cpu_over_careful_loop": seconds["layer_with_careful_loop"] / seconds["layer"],
    }


def works() -> dict[str, Work]:
    """Each does one forward and one backward pass."""
    tokens = TEXTS * STEPS
    offsets = torch.arange(0, tokens + 1, STEPS)
    layer = QRNNLayer(DIM, DIM, 2, "fo", 0.0, reverse=False)
    lstm = nn.LSTM(DIM, DIM)
    x, by_time = torch.randn(tokens, DIM), torch.randn(STEPS, TEXTS, DIM)  # nn.LSTM's own order: no copy to be made

    def gates_of(x: Tensor, conv: Callable[..., Tensor] = causal_conv) -> Tensor:
        return conv(x, layer.weight.view(2, -1, DIM), offsets)

    def with_loop(pool: Callable[[Tensor, Tensor, Tensor], Tensor], gates: Tensor) -> Tensor:
        z, f, o = (gates + layer.bias).view(TEXTS, STEPS, 3 * DIM).chunk(3, 2)
        return (pool(z.tanh(), f.sigmoid(), torch.zeros(TEXTS, DIM)) * o.sigmoid()).flatten(0, 1)

    gates = gates_of(x)

    return {
        "layer": both_ways(lambda x: layer(x, offsets), x, layer.parameters()),
        "lstm": both_ways(lambda x: lstm(x)[0], by_time, lstm.parameters()),
        "layer_with_loop": both_ways(lambda x: with_loop(loop, gates_of(x, causal_conv_ref)), x, layer.parameters()),
        "layer_with_careful_loop": both_ways(
            lambda x: with_loop(careful_loop, gates_of(x, causal_conv_ref)), x, layer.parameters()
        ),
        "products": both_ways(gates_of, x, [layer.weight]),
        "products_in_torch": both_ways(lambda x: gates_of(x, causal_conv_ref), x, [layer.weight]),
        "recurrence": both_ways(lambda gates: gate_pool(gates, layer.bias, offsets), gates, [layer.bias]),
        "careful_loop": both_ways(lambda gates: with_loop(careful_loop, gates), gates, [layer.bias]),
    }


def both_ways(function: Callable[[Tensor], Tensor], x: Tensor, parameters: Iterable[Tensor]) -> Work:
    """Forward, and back to the gradients of `x` and the parameters."""
    inputs = (x.detach().requires_grad_(), *parameters)
    grad = torch.randn_like(function(inputs[0]))
    return lambda: torch.autograd.grad(function(inputs[0]), inputs, grad)


def loop(z: Tensor, f: Tensor, h: Tensor) -> Tensor:
    """z and f are (B, T, dim)."""
    states = []
    for t in range(z.shape[1]):
        h = f[:, t] * h + (1 - f[:, t]) * z[:, t]
        states.append(h)
    return torch.stack(states, 1)


def careful_loop(z: Tensor, f: Tensor, h: Tensor) -> Tensor:
    """The same with all that can be done for every step at once taken out of the loop."""
    states = []
    for keep, add in zip(f.unbind(1), ((1 - f) * z).unbind(1), strict=True):
        h = torch.addcmul(add, keep, h)
        states.append(h)
    return torch.stack(states, 1)
