"""What each part of a network puts out, weighs and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.types import TokenBatch


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One part: its name, the shape it puts out for one text, its weights, its multiply-adds for that text."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(network: Network, *, tokens: int, vocabulary: int) -> list[LayerSummary]:
    """Run one text of `tokens` tokens through the padded path and note every part. Shapes leave out the batch."""
    parts: dict[str, nn.Module] = {"embedding": network.encoder.embedding}
    parts |= {f"blocks.{index}": block for index, block in enumerate(network.encoder.blocks)}
    parts |= {"pooling": network.encoder.pooling, "head": network.head}
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            shapes[name] = tuple(first.shape[1:])

        return hook

    handles = [part.register_forward_hook(note(name)) for name, part in parts.items()]
    batch = TokenBatch(np.ones(tokens, np.int32), np.array([0, tokens], np.int64))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        features = network.eval().encoder.forward_padded(Distinct(vocabulary)(batch))
        network.head(features)
    for handle in handles:
        handle.remove()
    flops = counter.get_flop_counts()

    def cost(name: str) -> int:
        # torch counts a multiply-add as two operations, and names modules after the class of the outermost one
        return (
            sum(count for path, counts in flops.items() if path.endswith(f".{name}") for count in counts.values()) // 2
        )

    return [
        LayerSummary(
            name, type(part).__name__, shapes.get(name, ()), sum(p.numel() for p in [*part.parameters(), *part.buffers()]),
            cost(name),
        )
        for name, part in parts.items()
    ]  # fmt: skip
