"""The network ours is measured against, as public re-implementations write it: nothing clever, nothing slowed down.

nn.Embedding and one nn.Conv1d a width over rectangles of 64 tokens, batches of 50, torch's dense Adadelta over all
weights, dropout and the clipped softmax rows: Kim's protocol (2014, section 3). Its layers are torch's own, so it is as
fast as torch makes it; what it lacks is what textcnn does differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from textcnn.types import TokenBatch

Tensor = torch.Tensor
LEFT, WIDTH = 4, 64  # zeros on the left (widest filter - 1), and a row in all: 56 tokens, MR's longest, + 8
BATCH = 50


class SentenceCnn(nn.Module):
    """Ids int64[B, T], 0 is padding -> logits float[B, classes]."""

    def __init__(
        self, vocabulary: int, classes: int, *, dim: int = 300, widths: Sequence[int] = (3, 4, 5), filters: int = 100,
        dropout: float = 0.5, max_norm: float = 3.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, filters, width) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(filters * len(widths), classes)
        self.bound = max_norm * (1.0 - dropout)  # torch rescales while training, the paper at test time
        with torch.no_grad():
            self.embedding.weight.uniform_(-0.25, 0.25)
            self.embedding.weight[0] = 0.0
            for convolution in self.convolutions:
                nn.init.uniform_(convolution.get_parameter("weight"), -0.01, 0.01)
                nn.init.zeros_(convolution.get_parameter("bias"))
            self.linear.weight.zero_()
            self.linear.bias.zero_()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids).transpose(1, 2)  # (B, dim, T)
        pooled = [F.relu(convolution(x)).amax(dim=2) for convolution in self.convolutions]
        logits: Tensor = self.linear(self.dropout(torch.cat(pooled, 1)))
        return logits

    @torch.no_grad()
    def clip(self) -> None:
        norms = self.linear.weight.norm(dim=1, keepdim=True)
        self.linear.weight.mul_((self.bound / norms).clamp(max=1.0))


def rectangle(texts: TokenBatch, *, left: int = LEFT, width: int = WIDTH) -> Tensor:
    """Ids int64[B, width]: `left` zeros, the text, zeros; what does not fit between widest-filter margins is cut."""
    ids = np.zeros((len(texts), width), np.int64)
    for row, text in zip(ids, texts, strict=True):
        text = text[: width - 2 * left]
        row[left : left + len(text)] = text
    return torch.from_numpy(ids)


def sorted_rectangles(texts: TokenBatch, size: int) -> list[Tensor]:
    """Batches of similar length, each as wide as its longest text and at least as the widest filter; for inference."""
    order = np.argsort(texts.lengths, kind="stable")
    batches = []
    for start in range(0, len(order), size):
        part = texts.take(order[start : start + size])
        batches.append(rectangle(part, left=0, width=max(5, int(part.lengths.max()))))
    return batches


def adadelta(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adadelta(network.parameters(), lr=1.0, rho=0.95, eps=1e-6)


def train_epoch(network: SentenceCnn, optimizer: torch.optim.Optimizer, ids: Tensor, targets: Tensor) -> None:
    """Every example once, in random order."""
    network.train()
    for chosen in torch.split(torch.randperm(len(ids)), BATCH):
        loss = F.cross_entropy(network(ids[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.clip()


@torch.inference_mode()
def accuracy(network: SentenceCnn, ids: Tensor, targets: Tensor) -> float:
    """Share of right answers."""
    network.eval()
    answers = torch.cat([network(part).argmax(1) for part in torch.split(ids, 256)])
    return float((answers == targets).float().mean())


def test_accuracy(
    parts: Sequence[tuple[TokenBatch, npt.NDArray[np.int64]]],
    *,
    vocabulary: int,
    classes: int,
    max_epochs: int,
    patience: int,
) -> tuple[float, int]:
    """Train on the first part, choose the epoch on the second, score the third; accuracy and epochs trained.

    Of equal epochs the later counts; training ends when the second part has not got better for `patience` epochs.
    """
    (train, y), (dev, dev_y), (test, test_y) = [(rectangle(x), torch.from_numpy(y)) for x, y in parts]
    network = SentenceCnn(vocabulary, classes)
    optimizer = adadelta(network)
    best, result, waited, trained = -1.0, 0.0, 0, 0
    while trained < max_epochs and waited < patience:
        trained += 1
        train_epoch(network, optimizer, train, y)
        score = accuracy(network, dev, dev_y)
        waited = 0 if score > best else waited + 1
        if score >= best:
            best, result = score, accuracy(network, test, test_y)
    return result, trained
