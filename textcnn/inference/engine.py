"""The seam between a model and what runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from textcnn.artifact import Artifact
from textcnn.types import Floats, TokenBatch

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
