"""How many windows fit on a text: (N + 2P - F) / S + 1, of N tokens, P padding, F tokens a window, S the stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import torch
from pydantic import Field

from textcnn.kernels.windows import Padding
from textcnn.nn.parts import Span

Tensor = torch.Tensor
Length = TypeVar("Length", int, Tensor)
# bounds far above any use: a slip of the hand is refused, not computed with
Channels = Annotated[int, Field(ge=1, le=65_536)]
Tokens = Annotated[int, Field(ge=1, le=10_000)]


def window_span(width: int, dilation: int) -> int:
    """Tokens from the first to the last that a window of `width` tokens, `dilation` apart, looks at."""
    return (width - 1) * dilation + 1


def padding_of(span: int, padding: Padding) -> tuple[int, int]:
    """Zeros left and right: none, span - 1 in all (so that stride 1 keeps the length), or span - 1 on each side."""
    whole = {"valid": 0, "same": span - 1, "wide": 2 * (span - 1)}[padding]
    return whole // 2, whole - whole // 2


def count_windows(length: Length, span: int, stride: int, pads: tuple[int, int]) -> Length:
    """Windows on a text of `length` tokens (an int, or int64[B]); a text too short for one is padded on the right."""
    count: Length = (length + sum(pads) - span) // stride + 1
    if isinstance(count, Tensor):
        return count.clamp(min=1) * (length > 0)
    return max(count, 1) if length > 0 else 0


def mask_of(counts: Tensor, longest: int) -> Tensor:
    """bool[B, longest], true at the first counts[b] places of each row."""
    return torch.arange(longest, device=counts.device)[None] < counts[:, None]


def union(spans: Sequence[Span | None]) -> Span | None:
    """The tokens from the first to the last of several spans; None if one of them has no bounds."""
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return None
    return min(start for start, _ in known), max(end for _, end in known)
