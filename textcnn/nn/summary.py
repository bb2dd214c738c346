"""What each part of a network puts out, weighs and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from textcnn.kernels.choose import plain_torch
from textcnn.nn.encoder import Encoder
from textcnn.nn.model import Network
from textcnn.nn.ragged import characters_of
from textcnn.types import TokenBatch

LETTERS = 7  # of a word with its marks, on average

SENTENCE = 20


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One part: its name, the shape it puts out for one text, its weights, its multiply-adds for that text."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@torch.no_grad()
def summarize(network: Network, *, tokens: int) -> list[LayerSummary]:
    """Run one text of `tokens` tokens through the parts, one after the other. Shapes leave out the batch.

    What joins columns is run on as many such texts; what joins sentences on those of SENTENCE tokens each.
    """
    network.eval()
    encoder = network.encoder
    layers: list[LayerSummary] = []

    def run(name: str, part: nn.Module, *inputs: Any) -> Any:
        forward = part.forward_padded if isinstance(part, Encoder) else part  # the fused way is not counted
        cost, output = _cost(lambda: forward(*inputs))
        shape = (output[0] if isinstance(output, tuple) else output).shape[1:]
        size = sum(weight.numel() for weight in [*part.parameters(), *part.buffers()])
        layers.append(LayerSummary(name, type(part).__name__, tuple(shape), size, cost))
        return output

    mask = torch.ones(1, tokens, dtype=torch.bool)
    x = run("embedding", encoder.embedding, torch.ones(1, tokens, dtype=torch.int64))
    if encoder.characters:
        words = TokenBatch.from_lists([[1] * LETTERS] * tokens)
        x = torch.cat([x, run("characters", encoder.characters, characters_of(words))[None]], 2)
    for index, block in enumerate(encoder.blocks):
        x, mask = run(f"blocks.{index}", block, x, mask)
    features = run("pooling", encoder.pooling, x, mask)
    if network.join is not None:
        count: Any = getattr(network.join, "texts", -(-tokens // SENTENCE))
        features = run(
            "join", network.join, features[:, None].expand(-1, count, -1), torch.ones(1, count, dtype=torch.bool)
        )
    run("head", network.head, features)
    return layers


def _cost(work: Callable[[], Any]) -> tuple[int, Any]:
    """Multiply-adds of some work, and its result; torch counts each as two operations."""
    with plain_torch(), FlopCounterMode(display=False) as counter:
        result = work()
    return int(counter.get_total_flops()) // 2, result
