"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

Tensor = torch.Tensor
Activation = Literal["relu", "tanh", "identity"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "identity": lambda x: x,
}
# f(max(x)) == max(f(x)): these may be applied after max over time, once per feature instead of once per window
NON_DECREASING = frozenset({"relu", "tanh", "identity"})
