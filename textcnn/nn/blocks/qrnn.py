"""Quasi-recurrent layers: convolutions in parallel over time, then a recurrence without a matrix product."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from textcnn.kernels.causal_conv import causal_conv
from textcnn.kernels.fo_pool import gate_pool, zoneout
from textcnn.kernels.table_gather import PARTS
from textcnn.nn.dropout import dropout
from textcnn.nn.parts import Block
from textcnn.nn.sizes import Channels
from textcnn.registry import BLOCKS

Tensor = torch.Tensor
RecurrentPooling = Literal["f", "fo", "ifo"]


@BLOCKS.register("qrnn")
class QRNN(Block):
    """z = tanh(W_z * X), f, o (, i) = sigmoid(W * X), h_t = f_t h_{t-1} + (1 - f_t) z_t (Bradbury et al. 2017).

    The convolutions are masked: a position sees itself and the `window` - 1 tokens before it (after it, in the backward
    direction). (B, T, in_dim), mask -> (B, T, out_dim), mask; out_dim is hidden_dim, or twice that if `bidirectional`.
    With `dense` every layer also sees the input of the one below, and all outputs are concatenated (section 2.1).
    `zoneout` is the probability that a channel keeps its state in training.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        hidden_dim: Channels = 256,
        window: Annotated[int, Field(ge=1, le=64)] = 2,
        recurrent_pooling: RecurrentPooling = "fo",
        num_layers: Annotated[int, Field(ge=1, le=100)] = 1,
        bidirectional: bool = False,
        dense: bool = False,
        zoneout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.dense = dense
        self.dropout = dropout
        self.layers = nn.ModuleList()
        dim = in_dim
        for _ in range(num_layers):
            directions = [
                QRNNLayer(dim, hidden_dim, window, recurrent_pooling, zoneout, reverse=reverse)
                for reverse in ((False, True) if bidirectional else (False,))
            ]
            self.layers.append(nn.ModuleList(directions))
            width = hidden_dim * len(directions)
            dim = dim + width if dense else width
        self.out_dim = dim if not dense else dim - in_dim

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        ragged = x[mask]  # (N, D), all texts end to end
        offsets = torch.nn.functional.pad(mask.sum(1).cumsum(0), (1, 0))
        outputs: list[Tensor] = []
        for number, directions in enumerate(self.layers):
            if number:
                ragged = dropout(ragged, self.dropout, self.training)
            assert isinstance(directions, nn.ModuleList)
            h = torch.cat([layer(ragged, offsets) for layer in directions], 1)
            outputs.append(h)
            ragged = torch.cat([ragged, h], 1) if self.dense else h
        out = torch.cat(outputs, 1) if self.dense else outputs[-1]
        y = x.new_zeros(*mask.shape, self.out_dim)
        y[mask] = out.to(y.dtype)
        return y, mask

    def span(self, t: int, channel: int | None) -> None:
        """A state remembers everything before it."""
        return None


class QRNNLayer(nn.Module):
    """One direction of one layer on a ragged batch: (N, in_dim), offsets -> (N, hidden_dim).

    `weight` [window * parts * hidden_dim, in_dim] holds for each offset into the past (the future, if `reverse`) the
    rows of z, f, o, i: a word times this matrix is all that the word can contribute, as in `Windows`.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        window: int,
        recurrent_pooling: RecurrentPooling,
        zoneout: float,
        *,
        reverse: bool,
    ) -> None:
        super().__init__()
        self.window, self.recurrent_pooling, self.zoneout, self.reverse = window, recurrent_pooling, zoneout, reverse
        self.hidden_dim = hidden_dim
        gates = PARTS[recurrent_pooling] * hidden_dim
        bound = (6.0 / (window * in_dim + hidden_dim)) ** 0.5
        self.weight = nn.Parameter(torch.empty(window * gates, in_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(gates))

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        weight = self.weight.view(self.window, -1, x.shape[1])
        gates = causal_conv(x, weight, offsets, reverse=self.reverse)
        if self.training and self.zoneout:
            forget = slice(self.hidden_dim, 2 * self.hidden_dim)
            gates = torch.cat(
                [
                    gates[:, : self.hidden_dim],
                    zoneout(gates[:, forget], self.zoneout, kept=torch.inf),
                    gates[:, 2 * self.hidden_dim :],
                ],
                1,
            )
        return gate_pool(gates, self.bias, offsets, pooling=self.recurrent_pooling, reverse=self.reverse)
