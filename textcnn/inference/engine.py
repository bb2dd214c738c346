"""The seam between a model and what runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from textcnn.artifact import Artifact
from textcnn.errors import ArtifactError
from textcnn.types import Floats, TokenBatch, Winners

Precision = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to run a model. The table engines alone look at the tables' precision and budget (bytes), and at `threads`.

    The budget is reserved and touched as words are met; 0 threads means one per core.
    """

    device: str = "auto"
    table_precision: Precision = "float32"
    table_budget: int = 1 << 30
    threads: int = 0


class Engine(Protocol):
    """Runs one model. Thread-safe; a text has the same logits alone and in any batch, within the engine's tolerance."""

    name: str

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        """Why this engine cannot run that model here, or None. Must be cheap and import nothing heavy."""

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> Engine: ...

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""

    def winners(self, batch: TokenBatch) -> Winners | None:
        """The same logits, and the windows of tokens behind them; None if they are no sum over windows."""


def weights_of(artifact: Artifact, shapes: Mapping[str, tuple[int, ...]]) -> list[Floats]:
    """The weights of these names, in this order. Compiled code reads them, so each must have exactly that shape.

    Raises ArtifactError.
    """
    found = []
    for name, shape in shapes.items():
        value = artifact.weights.get(name)
        if value is None or value.shape != shape or value.dtype != np.float32:
            there = "missing" if value is None else f"{value.dtype}{list(value.shape)}"
            raise ArtifactError(
                f"the weights of model {artifact.name}/{artifact.version} do not fit its configuration: "
                f"{name} is {there}, expected float32{list(shape)}; copy or train the model again"
            )
        found.append(value)
    return found
