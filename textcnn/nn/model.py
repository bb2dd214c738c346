"""Encoder and head."""

from __future__ import annotations

import torch
from torch import nn

from textcnn.nn.encoder import Encoder
from textcnn.nn.ragged import RaggedIds

Tensor = torch.Tensor


class Network(nn.Module):
    """Ragged ids -> logits float[B, num_classes]."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, ids: RaggedIds) -> Tensor:
        logits: Tensor = self.head(self.encoder(ids))
        return logits
