"""The paper's convolution layer: filters of several widths side by side."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Discriminator, Field, Tag
from torch import nn

from textcnn.errors import ConfigError
from textcnn.kernels.conv_max import conv_max
from textcnn.kernels.windows import Padding, Windows
from textcnn.nn.activations import ACTIVATIONS, NON_DECREASING, Activation
from textcnn.nn.parts import Block, Span
from textcnn.nn.sizes import Channels, Tokens, count_windows, mask_of, padding_of, union, window_span
from textcnn.registry import BLOCKS

Tensor = torch.Tensor
Width = Annotated[int, Field(ge=1, le=64)]
# tags, so that a fault is told of the kind that was meant and not of both
Groups = Annotated[int, Field(ge=1, le=10_000)]
PerWidth = Annotated[
    Annotated[Channels, Tag("<number>")] | Annotated[tuple[Channels, ...], Tag("<list>")],
    Discriminator(lambda value: "<list>" if isinstance(value, (list, tuple)) else "<number>"),
]


@BLOCKS.register("kim_conv")
class KimConv(Block):
    """c_i = f(w . x_{i:i+h-1} + b) for every window and filter (Kim 2014, equation 2).

    (B, T, in_dim), mask -> (B, T', out_dim), mask. `num_filters` is per width, one number or a list; out_dim is their
    sum. A window's tokens are `dilation` apart and windows start `stride` tokens apart. `padding` is `same` (as many
    windows as tokens, over the stride), `valid` (none) or `wide` (every window that touches the text). A text too short
    for one window is padded on the right to one. Where widths have different numbers of windows, those with fewer
    repeat their last, which max over time does not see. Weights are drawn from U[-scale, scale], with `scale` 0 as wide
    as Glorot and Bengio (2010) have it for the window.

    `in_dim` is cut into so many `groups` of equal size, and each has all these filters anew, which see nothing else
    (a grouped convolution, Krizhevsky et al. 2012); out_dim is that many times as large, group after group.

    `weight` is one matrix [sum of width * filters, in_dim / groups] in the order that `Windows` states.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        filter_widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 4, 5),
        num_filters: PerWidth = 100,
        activation: Activation = "relu",
        stride: Tokens = 1,
        dilation: Tokens = 1,
        padding: Padding = "same",
        scale: Annotated[float, Field(ge=0)] = 0.0,
        groups: Groups = 1,
    ) -> None:
        super().__init__()
        filters_of = (num_filters,) * len(filter_widths) if isinstance(num_filters, int) else tuple(num_filters)
        if len(filters_of) != len(filter_widths):
            raise ConfigError(
                f"num_filters lists {len(filters_of)} numbers for {len(filter_widths)} filter_widths; "
                "give one number for each width, or a single one"
            )
        if in_dim % groups:
            raise ConfigError(f"groups is {groups}, which does not divide the {in_dim:,} numbers that it is given")
        self.groups = groups
        self._of_a_group = Windows(tuple(filter_widths), filters_of, padding)
        self.windows = self._of_a_group.times(groups)
        self.out_dim = self.windows.features
        self.activation, self.stride, self.dilation = activation, stride, dilation
        # (tokens that a window spans, zeros left and right) of each width
        spans = [window_span(width, dilation) for width in filter_widths]
        self._shapes = [(span, padding_of(span, padding)) for span in spans] * groups
        self.repeats_last = padding != "same" and len(set(spans)) > 1
        self.weight = nn.Parameter(torch.empty(self.windows.rows, in_dim // groups))
        self.bias = nn.Parameter(torch.zeros(self.out_dim))
        for width, filters, row, _, _ in self.windows.groups():
            # the scale of Kim's code, 0.01, needs Adadelta's large first steps
            bound = scale or (6.0 / (width * in_dim // groups + filters)) ** 0.5
            nn.init.uniform_(self.weight[row : row + width * filters], -bound, bound)

    @property
    def fusable(self) -> bool:
        """Whether the kernel does it: every window, and max over time may be taken before the activation."""
        return self.activation in NON_DECREASING and self.stride == self.dilation == 1

    def activate(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](x)

    def size(self, length: int) -> int:
        return max(count_windows(length, span, self.stride, pads) for span, pads in self._shapes)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = (x * mask[..., None]).transpose(1, 2)  # (B, D, T); zeros behind the end, as padding inside the text
        lengths, longest = mask.sum(1), self.size(x.shape[2])
        parts, counts = [], torch.zeros_like(lengths)
        seen = [part for part in x.chunk(self.groups, 1) for _ in self._of_a_group.filter_widths]
        for own, (width, filters, row, feature, _), (span, (left, right)) in zip(
            seen, self.windows.groups(), self._shapes, strict=True
        ):
            kernel = self.weight[row : row + width * filters].view(width, filters, -1).permute(1, 2, 0)
            spare = max(0, span - (x.shape[2] + left + right))
            y = F.conv1d(
                F.pad(own, (left, right + spare)), kernel, self.bias[feature : feature + filters],
                stride=self.stride, dilation=self.dilation,
            )  # fmt: skip
            count = count_windows(lengths, span, self.stride, (left, right))
            parts.append(_repeat_last(y, count, longest) if self.repeats_last else y[:, :, :longest])
            counts = torch.maximum(counts, count)
        return self.activate(torch.cat(parts, 1).transpose(1, 2)), mask_of(counts, longest)

    def largest(self, vectors: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Max over time before the activation, and where: kernels.conv_max of each group, for what is `fusable`.

        `vectors` float[U, in_dim]; returns float[B, out_dim] and int32[B, out_dim].
        """
        if self.groups == 1:
            return conv_max(vectors, values, offsets, self.weight, self.bias, self.windows)
        parts = (part.chunk(self.groups) for part in (vectors.T, self.weight, self.bias))
        found = [
            conv_max(x.T.contiguous(), values, offsets, weight, bias, self._of_a_group)
            for x, weight, bias in zip(*parts, strict=True)
        ]
        best, starts = zip(*found, strict=True)
        return torch.cat(best, 1), torch.cat(starts, 1)

    def span(self, t: int, channel: int | None) -> Span:
        """The tokens that position `t` of a channel (None: of any) is computed from: [start, end), unclipped."""
        if channel is None:
            found = union([self._span(t, index) for index in range(len(self._shapes))])
            assert found is not None
            return found
        width = int(self.windows.width_of_feature[channel])
        return self._span(t, self.windows.filter_widths.index(width))

    def _span(self, t: int, index: int) -> Span:
        span, (left, _) = self._shapes[index]
        return t * self.stride - left, t * self.stride - left + span


def _repeat_last(y: Tensor, counts: Tensor, longest: int) -> Tensor:
    """Windows float[B, F, T] -> float[B, F, longest]; behind the last of each text's counts[b] the last one again."""
    places = torch.arange(longest, device=y.device)[None].minimum((counts - 1).clamp(min=0)[:, None])
    return y.gather(2, places[:, None].expand(-1, y.shape[1], -1))
