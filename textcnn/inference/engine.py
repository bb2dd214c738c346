"""The seam between a model and what runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, Protocol, get_args

import numpy as np

from textcnn.artifact import Artifact
from textcnn.choices import TablePrecision
from textcnn.errors import ArtifactError, ConfigError
from textcnn.kernels.native import native
from textcnn.registry import nearest
from textcnn.types import Floats, TokenBatch, Winners


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to run a model. The table engines alone look at the tables' precision and budget (bytes).

    The budget is reserved and touched as words are met; 0 threads means one per core. Raises ConfigError.
    """

    device: str = "auto"
    table_precision: TablePrecision = "float32"
    table_budget: int = 1 << 30
    threads: int = 0

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            faults.append(f"device: {self.device!r} is no device; write auto, cpu, cuda or cuda:N")
        if self.table_precision not in get_args(TablePrecision):
            faults.append(
                f"table_precision is {self.table_precision!r}, expected one of {', '.join(get_args(TablePrecision))}"
            )
        for name in ("table_budget", "threads"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                faults.append(f"{name} is {value!r}, expected a whole number, 0 or more")
        if faults:
            raise ConfigError(faults)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> EngineOptions:
        """From keywords. Raises ConfigError for one that does not exist."""
        known = [field.name for field in fields(cls)]
        unknown = [f"there is no option {name!r}{nearest(name, known)}" for name in options if name not in known]
        if unknown:
            raise ConfigError(unknown)
        return cls(**options)


class Engine(Protocol):
    """Runs one model. Thread-safe; a text has the same logits alone and in any batch, within the engine's tolerance."""

    name: str

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""

    def winners(self, batch: TokenBatch) -> Winners | None:
        """The same logits, and the windows of tokens behind them; None if they are no sum over windows."""


class EngineOfModels(Engine, Protocol):
    """What ENGINES holds: it is made of a model."""

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        """Why this engine cannot run that model here, or None. Must be cheap and import nothing heavy."""

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> EngineOfModels: ...


def why_not_numpy() -> str | None:
    """Why a table engine leaves a model to torch, or None: numpy stands in for kernels only where nothing else does."""
    if native() is None and find_spec("torch") is not None:
        return "the compiled kernels are missing, and without them torch is faster"
    return None


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
        with np.errstate(all="ignore"):
            finite = np.isfinite(value.sum())  # one value that is not makes the sum so
        if not finite:
            raise ArtifactError(
                f"the weights of model {artifact.name}/{artifact.version} are no finite numbers: {name}; "
                "train the model again"
            )
        found.append(value)
    return found
