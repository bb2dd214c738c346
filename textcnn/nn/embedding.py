"""Word vectors in the four modes of Kim (2014), section 3.1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from textcnn.choices import EmbeddingMode
from textcnn.nn.dropout import dropout

Tensor = torch.Tensor


class Embedding(nn.Module):
    """ids int64[...] -> vectors float[..., out_dim].

    `rand` draws its own vectors, the other modes take `matrix` float[vocabulary, dim]: `static` keeps it, `non-static`
    trains it, `multichannel` has a kept and a trained copy. The paper convolves both channels with the same filters and
    adds the results, which by linearity is one convolution over the sum of the channels; so forward returns that sum.

    In training a share `dropout` of the numbers is dropped; a batch asks for each distinct word once, so that a word
    loses the same numbers wherever it stands.

    Row 0 is padding and stays zero; row 1, the unknown word, starts at zero, so that it says nothing until trained.
    """

    def __init__(
        self, vocabulary: int, *, mode: EmbeddingMode = "rand", dim: int = 300, matrix: Tensor | None = None,
        scale: float = 0.25, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        assert (matrix is None) == (mode == "rand"), f"mode {mode!r} and matrix {matrix is not None}"
        if matrix is None:
            matrix = torch.empty(vocabulary, dim).uniform_(-scale, scale)
            matrix[:2] = 0.0
        self.mode = mode
        self.dropout = dropout
        self.out_dim = matrix.shape[1]
        self.weight = None if mode == "static" else nn.Parameter(matrix.clone())
        self.fixed: Tensor | None
        self.register_buffer("fixed", matrix.clone() if mode in ("static", "multichannel") else None)

    def forward(self, ids: Tensor) -> Tensor:
        channels = []
        if self.fixed is not None:
            channels.append(F.embedding(ids, self.fixed))
        if self.weight is not None:
            # sparse: the gradient holds the rows of this batch only, whatever the vocabulary
            channels.append(F.embedding(ids, self.weight, padding_idx=0, sparse=self.weight.device.type == "cpu"))
        return dropout(sum(channels[1:], channels[0]), self.dropout, self.training)
