"""Whether one model is really better than another on the same texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from textcnn.errors import needs_extra
from textcnn.evaluation.metrics import DRAWS, INTERVAL
from textcnn.types import Bools


def compare(first: Bools, second: Bools) -> dict[str, Any]:
    """McNemar's exact test of which texts the models have right, bool[texts] each (Dietterich 1998, section 3.1).

    `difference` is the first's accuracy minus the second's, `interval` its 95 % bootstrap interval. `p_value` is how
    likely so uneven a split of the texts that only one has right would be between equals.
    """
    with needs_extra("a comparison", "train"):
        from scipy.stats import binomtest
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ, total = only_first + only_second, len(first)
    drawn = np.random.default_rng(0).multinomial(
        total, np.array([only_first, only_second, total - differ]) / total, size=DRAWS
    )
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "both_right": int((first & second).sum()),
        "both_wrong": int((~first & ~second).sum()),
        "difference": (only_first - only_second) / total,
        "interval": np.quantile((drawn[:, 0] - drawn[:, 1]) / total, INTERVAL).tolist(),
        "p_value": float(binomtest(only_first, differ).pvalue) if differ else 1.0,
    }
