"""The Triton kernels on a CUDA device, forward and backward: conv_max, the recurrence, a QRNN layer.

What limits each. conv_max: with few texts the launches of a dozen kernels, with many the product of distinct tokens and
filters; torch's way convolves every token and writes all feature maps. The recurrence: the memory, so it is given as a
share of what a plain copy reaches beside it. A QRNN layer: its matrix products; cuDNN's LSTM waits for itself at every
step. TensorFloat-32 is allowed to both sides in the products, float32 elsewhere.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import machine
from benchmarks.machine import Work, interleave, say
from benchmarks.qrnn import DIM, STEPS, TEXTS, both_ways
from textcnn.kernels.conv_max import conv_max
from textcnn.kernels.fo_pool import fo_pool, gate_pool
from textcnn.kernels.windows import Windows
from textcnn.nn.blocks.qrnn import QRNNLayer

Tensor = torch.Tensor
FIGURES = ("conv_max_over_torch", "scan_bandwidth_share", "qrnn_over_cudnn_lstm")
BATCHES = (50, 256, 1024)  # texts; the figure is that of the middle one
WORDS, TOKENS, IN_DIM = 20_000, 21, 300  # MR: distinct tokens, tokens of a text, size of a word vector
WINDOWS = Windows((3, 4, 5), (100, 100, 100))
CALLS = 10  # before each wait for the device
LIMITS = {
    "conv_max_over_torch": "launches where there are few texts, then the product of distinct tokens and filters",
    "scan_bandwidth_share": "the memory: fo_pool reads or writes nine arrays forward and back, gate_pool thirteen",
    "qrnn_over_cudnn_lstm": "launches, and the steps of a text one tile after the other: 80 programs on the device",
}


def run(*, quick: bool = False) -> dict[str, Any]:
    about = machine.describe()
    why_not = _why_not()
    if why_not:
        return {
            **dict.fromkeys(FIGURES),
            "limits": LIMITS,
            "missing": dict.fromkeys(FIGURES, why_not),
            "machine": about,
        }
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    rounds = 3 if quick else 20
    say("conv_max ...")
    convolutions = {texts: times(convolution(texts), rounds) for texts in BATCHES}
    ratios = {texts: ms["torch"] / ms["conv_max"] for texts, ms in convolutions.items()}
    say("the recurrence ...")
    shares = bandwidth(rounds, dim=256 if quick else 1024)
    say("QRNN layer ...")
    layers = times(recurrent_layers(), rounds)
    return {
        "conv_max_over_torch": ratios[BATCHES[1]],
        "scan_bandwidth_share": shares["fo_pool_share"],
        "qrnn_over_cudnn_lstm": layers["lstm"] / layers["qrnn"],
        "conv_max_over_torch_by_texts": {str(texts): ratio for texts, ratio in ratios.items()},
        "conv_max_ms": {str(texts): ms for texts, ms in convolutions.items()},
        "scan": shares,
        "layer_ms": layers,
        "limits": LIMITS,
        "machine": {**about, "gpu": torch.cuda.get_device_name(), "torch": torch.__version__},
    }


def _why_not() -> str | None:
    if not torch.cuda.is_available():
        return "no CUDA device"
    return None if find_spec("triton") else "triton is not installed; pip install -e '.[triton]'"


def times(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """Median milliseconds of one call of each."""

    def calls(work: Work) -> Work:
        def several() -> None:
            for _ in range(CALLS):
                work()
            torch.cuda.synchronize()

        return several

    seconds = interleave({name: calls(work) for name, work in works.items()}, rounds)
    return {name: 1000 * value / CALLS for name, value in seconds.items()}


def convolution(texts: int) -> dict[str, Work]:
    """The paper's layer over texts of MR's length whose words are as frequent as words are (Zipf)."""
    lengths = torch.randint(TOKENS // 2, TOKENS * 3 // 2 + 1, (texts,))
    offsets = F.pad(lengths.cumsum(0), (1, 0))
    frequency = 1.0 / torch.arange(1, WORDS + 1)
    words, local = torch.unique(frequency.multinomial(int(offsets[-1]), replacement=True), return_inverse=True)
    rectangle = torch.full((texts, int(lengths.max())), len(words))
    rectangle[torch.arange(rectangle.shape[1]) < lengths[:, None]] = local
    values, offsets, rectangle = local.int().cuda(), offsets.cuda(), rectangle.cuda()
    weight = torch.randn(WINDOWS.rows, IN_DIM, device="cuda", requires_grad=True)
    bias = torch.zeros(WINDOWS.features, device="cuda", requires_grad=True)
    kernels = [torch.randn(100, IN_DIM, width, device="cuda", requires_grad=True) for width in WINDOWS.filter_widths]
    x = torch.randn(len(words), IN_DIM, device="cuda")

    def with_torch(x: Tensor) -> Tensor:
        """Padded, as public implementations do it; zeros behind the end of a text."""
        padded = F.embedding(rectangle, F.pad(x, (0, 0, 0, 1))).transpose(1, 2)
        return (
            torch.cat([F.conv1d(padded, kernel, padding=kernel.shape[2] // 2).amax(2) for kernel in kernels], 1) + bias
        )

    return {
        "conv_max": both_ways(lambda x: conv_max(x, values, offsets, weight, bias, WINDOWS)[0], x, [weight, bias]),
        "torch": both_ways(with_torch, x, [*kernels, bias]),
    }


def bandwidth(rounds: int, *, dim: int, texts: int = 64, steps: int = 512) -> dict[str, float]:
    """Bytes a second of the recurrence, forward and backward, as a share of those of a copy."""
    tokens = texts * steps
    offsets = torch.arange(0, tokens + 1, steps, device="cuda")
    source = torch.randn(tokens, 3 * dim, device="cuda")
    target, f = torch.empty_like(source), torch.rand(tokens, dim, device="cuda", requires_grad=True)
    bias = torch.zeros(3 * dim, device="cuda", requires_grad=True)
    ms = times(
        {
            "copy": lambda: target.copy_(source),
            "fo_pool": both_ways(lambda z: fo_pool(z, f, offsets), source[:, :dim].contiguous(), [f]),
            "gate_pool": both_ways(lambda gates: gate_pool(gates, bias, offsets), source, [bias]),
        },
        rounds,
    )
    array = 4 * tokens * dim  # bytes
    # forward z f -> h, backward z f h grad -> z f; forward three gates -> h o, backward those, h and grad -> three
    touched = {"copy": 6 * array, "fo_pool": 9 * array, "gate_pool": 13 * array}
    speed = {name: touched[name] / ms[name] / 1e6 for name in ms}
    return {
        "fo_pool_share": speed["fo_pool"] / speed["copy"],
        "gate_pool_share": speed["gate_pool"] / speed["copy"],
        **{f"{name}_gb_per_s": value for name, value in speed.items()},
    }


def recurrent_layers() -> dict[str, Work]:
    offsets = torch.arange(0, TEXTS * STEPS + 1, STEPS, device="cuda")
    layer = QRNNLayer(DIM, DIM, 2, "fo", 0.0, reverse=False).cuda()
    lstm = nn.LSTM(DIM, DIM).cuda()
    return {
        "qrnn": both_ways(
            lambda x: layer(x, offsets), torch.randn(TEXTS * STEPS, DIM, device="cuda"), layer.parameters()
        ),
        "lstm": both_ways(lambda x: lstm(x)[0], torch.randn(STEPS, TEXTS, DIM, device="cuda"), lstm.parameters()),
    }
