"""The seam between a model and what runs it."""

from __future__ import annotations

from typing import Protocol

from textcnn.artifact import Artifact
from textcnn.types import Floats, TokenBatch


class Engine(Protocol):
    """Runs one model. Thread-safe; the same numbers for a text alone and in any batch, within the engine's tolerance."""

    name: str

    @classmethod
    def why_not(cls, artifact: Artifact, *, device: str) -> str | None:
        """Why this engine cannot run that model here, or None. Must be cheap and import nothing heavy."""

    @classmethod
    def from_artifact(cls, artifact: Artifact, *, device: str) -> Engine: ...

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""
