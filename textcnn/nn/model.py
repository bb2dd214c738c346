"""Encoder and head, and the heads that only training has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from textcnn.nn.encoder import Encoder
from textcnn.nn.parts import Join, Pooling
from textcnn.nn.ragged import RaggedIds
from textcnn.nn.segments import encode_segments

Tensor = torch.Tensor


class Auxiliary(nn.Module):
    """Pooling and a head of their own behind one of the encoder's blocks (Szegedy et al. 2015, section 5)."""

    def __init__(self, block: int, pooling: Pooling, head: nn.Module) -> None:
        super().__init__()
        self.block, self.pooling, self.head = block, pooling, head

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooling(x, mask))
        return logits


class Network(nn.Module):
    """Ragged ids -> logits float[B, num_classes]. With a `join`, texts are encoded segment by segment."""

    def __init__(
        self, encoder: Encoder, head: nn.Module, auxiliary: Sequence[Auxiliary] = (), join: Join | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.join = join
        self.head: Any = head
        self.auxiliary = nn.ModuleList(auxiliary)

    def forward(self, ids: RaggedIds) -> Tensor:
        logits: Tensor = self.head(self.features(ids))
        return logits

    def features(self, ids: RaggedIds) -> Tensor:
        """What the head sees: float[B, dim]."""
        if self.join is None:
            vectors: Tensor = self.encoder(ids)
            return vectors
        joined: Tensor = self.join(*encode_segments(self.encoder, ids, keep_empty=self.join.keep_empty))
        return joined

    def forward_all(self, ids: RaggedIds) -> list[Tensor]:
        """The logits, then those of each auxiliary head."""
        heads: list[Any] = list(self.auxiliary)
        if not heads:
            return [self(ids)]
        features, between = self.encoder.forward_between(ids)
        return [self.head(features), *(head(*between[head.block]) for head in heads)]

    def constrain(self) -> None:
        """What every head asks for after an optimizer step."""
        heads: list[Any] = [self.head, *(part.head for part in self.auxiliary)]
        for head in heads:
            head.constrain()
