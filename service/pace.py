"""How long a batch takes, learnt from those that were run."""

from __future__ import annotations

FORGET = 0.98  # weight of what was known when a batch is added: some fifty of them count
STRETCH = 5.0  # a batch that took longer than this many times its forecast tells of the machine, not of the model
CHEAPEST = 0.01  # at least this share of the time goes with the cost


class Pace:
    """seconds = overhead + cost * per_cost, fitted to recent batches by least squares.

    A batch that was held up (by other programs, or by words that are met for the first time) counts no more than
    STRETCH times its forecast, so a single one does not turn the fit; when all are slower the fit follows at once.
    """

    def __init__(self) -> None:
        self.known = False
        self.overhead = 0.0
        self.per_cost = 0.0
        # decayed sums over batches: 1, cost, seconds, cost^2, cost * seconds
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)

    def learn(self, cost: int, seconds: float) -> None:
        """Add a batch that was run."""
        if self.known:
            seconds = min(seconds, STRETCH * self.seconds(cost))
        batches, costs, times, squares, products = (FORGET * value for value in self._sums)
        batches, costs, times = batches + 1, costs + cost, times + seconds
        squares, products = squares + cost * cost, products + cost * seconds
        self._sums = (batches, costs, times, squares, products)
        spread = batches * squares - costs * costs
        dearest = times / max(costs, 1.0)  # all the time put down to the cost
        # Batches all alike say nothing about the slope. Nor is it ever nothing, whatever chance has measured.
        slope = (batches * products - costs * times) / spread if spread > 1e-9 * batches * squares else dearest
        self.per_cost = min(max(slope, CHEAPEST * dearest), dearest)
        self.overhead = max((times - self.per_cost * costs) / batches, 0.0)
        self.known = True

    def seconds(self, cost: int) -> float:
        """Forecast for a batch of this cost."""
        return self.overhead + self.per_cost * cost
