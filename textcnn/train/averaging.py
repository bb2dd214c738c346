"""Exponential moving average of the weights (Polyak and Juditsky 1992), which scores better than the last step's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

Tensor = torch.Tensor


class WeightAverage:
    """average = decay * average + (1 - decay) * weights, after every step; `decay` 0 keeps none.

    Early on the decay is (1 + steps) / (10 + steps) where that is less, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._trained = {name: param for name, param in network.named_parameters() if param.requires_grad}
        self.steps = 0
        self.values = {name: param.detach().clone() for name, param in self._trained.items()} if decay else {}

    @torch.no_grad()
    def update(self) -> None:
        if not self.values:
            return
        self.steps += 1
        share = 1 - min(self._decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.values.items():
            value.lerp_(self._trained[name], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network with the averaged weights, where there are any, for the time of the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.values.items():
            own = self._trained[name].detach().clone()
            self._trained[name].copy_(value)
            value.copy_(own)

    def restore(self, values: dict[str, Tensor], steps: int) -> None:
        """Go on from a checkpoint."""
        for name, value in values.items():
            self.values[name].copy_(value)
        self.steps = steps
