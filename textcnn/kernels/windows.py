"""Which windows of a text a set of filters looks at, and how their weights lie in one matrix. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Padding = Literal["valid", "same", "wide"]


@dataclass(frozen=True)
class Windows:
    """Filters of several widths over a text, stride 1.

    The weights of all filters are one matrix [rows, in_dim]: for each width its offsets k = 0..width-1, for each offset
    its filters. So a word vector times this matrix gives every contribution that the word can make, filters contiguous.

    Padding adds positions of zeros on both sides: `valid` none, `same` width - 1 in all (as many windows as tokens),
    `wide` width - 1 on each side. A non-empty text shorter than one window is padded on the right to one; an empty text
    has no windows.
    """

    filter_widths: tuple[int, ...]
    num_filters: tuple[int, ...]
    padding: Padding = "same"

    @property
    def features(self) -> int:
        """Filters in all: the width of the pooled vector."""
        return sum(self.num_filters)

    @property
    def rows(self) -> int:
        """Rows of the weight matrix: width x filters, summed."""
        return sum(width * filters for width, filters in zip(self.filter_widths, self.num_filters, strict=True))

    def times(self, groups: int) -> Windows:
        """The same filters so many times, one set after the other."""
        return Windows(self.filter_widths * groups, self.num_filters * groups, self.padding)

    def pad(self, width: int) -> tuple[int, int]:
        """Zeros on the left and on the right for filters of that width."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "wide":
            return width - 1, width - 1
        return (width - 1) // 2, width - 1 - (width - 1) // 2

    def groups(self) -> list[tuple[int, int, int, int, int]]:
        """(width, filters, first row, first feature, left padding) of each width."""
        result, row, feature = [], 0, 0
        for width, filters in zip(self.filter_widths, self.num_filters, strict=True):
            result.append((width, filters, row, feature, self.pad(width)[0]))
            row += width * filters
            feature += filters
        return result

    @cached_property
    def arrays(self) -> tuple[npt.NDArray[np.int32], ...]:
        """width, filters, left and right padding, as the kernels take them: int32[groups] each."""
        pads = [self.pad(width) for width in self.filter_widths]
        columns = (self.filter_widths, self.num_filters, [left for left, _ in pads], [right for _, right in pads])
        return tuple(np.array(column, np.int32) for column in columns)

    @cached_property
    def width_of_feature(self) -> npt.NDArray[np.int32]:
        """Filter width of every feature, int32[features]."""
        return np.repeat(np.array(self.filter_widths, np.int32), self.num_filters)
