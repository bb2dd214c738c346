"""A convolutional autoencoder: the encoder's blocks read a damaged text, a transposed convolution writes it anew."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from textcnn.nn.encoder import Encoder
from textcnn.nn.ragged import RaggedIds

Tensor = torch.Tensor
PROBE = 1024  # tokens by which the blocks' shortening is measured


class Autoencoder(nn.Module):
    """Embedding and blocks of `encoder`, then a transposed convolution back to one word vector for each token.

    The decoder (Zhang et al. 2017, section 2.2) undoes the blocks' shortening with its stride. A word's score is the
    product of its vector with what the decoder wrote, so that words and filters are learned together. The encoder's
    pooling, which forgets the places, has no part in this and no weights to learn from it.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        blocks: list[Any] = list(encoder.blocks)
        length = PROBE
        for block in blocks:
            length = block.size(length)
        self.stride = max(1, round(PROBE / length))
        features = blocks[-1].out_dim if blocks else encoder.embedding.out_dim
        self.decoder = nn.ConvTranspose1d(
            features, encoder.embedding.out_dim, 2 * self.stride + 1, self.stride, self.stride,
            output_padding=self.stride - 1,
        )  # fmt: skip

    def forward(self, damaged: RaggedIds, candidates: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
        """Logits float[M, C] of the candidates at the M places to be scored.

        `candidates` int64[C] are words, `targets` int64[N] the place among them of every token's own word, `scored`
        bool[N] which tokens count.
        """
        _, mask = damaged.padded()
        x, _ = self.encoder.forward_between(damaged)[1][-1]
        written = self.decoder(x.transpose(1, 2)).transpose(1, 2)[:, : mask.shape[1]]
        written = F.pad(written, (0, 0, 0, mask.shape[1] - written.shape[1]))
        words: Tensor = self.encoder.embedding(candidates)
        return written[mask][scored] @ words.T

    def loss(self, damaged: RaggedIds, candidates: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, float]:
        """Mean cross-entropy of the scored words among the candidates, and the share of them that come first."""
        logits = self(damaged, candidates, targets, scored)
        wanted = targets[scored]
        right = float((logits.detach().argmax(1) == wanted).float().mean()) if len(wanted) else 0.0
        return F.cross_entropy(logits, wanted), right
