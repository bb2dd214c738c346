"""Autoencoders: the encoder reads a damaged text, a decoder writes its words anew."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from textcnn.nn.blocks.stack import size_after
from textcnn.nn.encoder import Encoder
from textcnn.nn.ragged import RaggedIds

Tensor = torch.Tensor
PROBE = 1024  # tokens by which the blocks' shortening is measured


class BagAutoencoder(nn.Module):
    """The pooled vector says which words the text has, wherever they stand.

    All that is known of a text must pass through the one vector that a classifier sees too, so the filters learn what
    is worth a place in it, and words that occur in the same texts get similar vectors. A word's score is the product
    of its vector with a linear map of the pooled one.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Linear(encoder.out_dim, encoder.word_dim)

    def loss(self, damaged: RaggedIds, candidates: RaggedIds, wanted: Tensor) -> tuple[Tensor, float]:
        """Cross-entropy, and how many of the words that score best are the text's: as many are taken as it has.

        `candidates` are C distinct words, `wanted` float[B, C] how much each counts in each text, 0 where it is not in
        it. The loss is the mean of -log p(word) over the words as much as they count, where p is over the candidates.
        """
        logits = self.decoder(self.encoder(damaged)) @ self.encoder.vectors(candidates).T
        loss = -(wanted * logits.log_softmax(1)).sum() / wanted.sum()
        return loss, _share_found(logits.detach(), wanted > 0)


class SequenceAutoencoder(nn.Module):
    """The output of the blocks says which word stands in each place.

    The decoder, a transposed convolution (Zhang et al. 2017, section 2.2), undoes the blocks' shortening with its
    stride and writes one word vector for each token. The pooling, which forgets the places, has no part in this and no
    weights to learn from it.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        blocks = list(encoder.blocks)
        self.stride = max(1, round(PROBE / size_after(blocks, PROBE)))
        features = blocks[-1].out_dim if blocks else encoder.word_dim
        self.decoder = nn.ConvTranspose1d(
            features, encoder.word_dim, 2 * self.stride + 1, self.stride, self.stride,
            output_padding=self.stride - 1,
        )  # fmt: skip

    def loss(self, damaged: RaggedIds, candidates: RaggedIds, targets: Tensor, scored: Tensor) -> tuple[Tensor, float]:
        """Mean cross-entropy of the scored words among the candidates, and the share of them that come first.

        `candidates` are C distinct words, `targets` int64[N] the place among them of every token's own word, `scored`
        bool[N] which tokens count.
        """
        _, mask = damaged.padded()
        x, _ = self.encoder.forward_between(damaged)[1][-1]
        written = self.decoder(x.transpose(1, 2)).transpose(1, 2)[:, : mask.shape[1]]
        written = F.pad(written, (0, 0, 0, mask.shape[1] - written.shape[1]))
        logits = written[mask][scored] @ self.encoder.vectors(candidates).T
        wanted = targets[scored]
        right = float((logits.detach().argmax(1) == wanted).float().mean()) if len(wanted) else 0.0
        return F.cross_entropy(logits, wanted), right


def _share_found(logits: Tensor, wanted: Tensor) -> float:
    """Of the n best of each row, the share that is wanted, n being how many are; the mean over rows with any."""
    counts = wanted.sum(1)
    best = logits.topk(int(counts.max()), 1).indices
    among = torch.arange(best.shape[1], device=best.device)[None] < counts[:, None]
    shares = (wanted.gather(1, best) & among).sum(1) / counts.clamp(min=1)
    return float(shares[counts > 0].mean())
