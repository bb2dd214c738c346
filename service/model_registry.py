"""The models that answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from service.errors import NotReadyError
from service.settings import Settings
from textcnn.types import Prediction


class Classifier(Protocol):
    """What the service needs of a model; `textcnn.TextClassifier` is one."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def classes_(self) -> tuple[str, ...]: ...
    @property
    def engine_name(self) -> str: ...
    @property
    def max_length(self) -> int: ...

    def classify(self, texts: Sequence[str], *, top_k: int | None = 1) -> list[Prediction]:
        """One prediction a text, in order. Called from several threads at once."""
        ...


Load = Callable[[Path], Classifier]


def load_classifier(path: Path, settings: Settings) -> Classifier:
    """`TextClassifier.load`, imported in the thread that loads: it may bring torch, and the service answers before."""
    from textcnn import TextClassifier

    return TextClassifier.load(
        path,
        engine=settings.engine,
        device=settings.device,
        table_precision=settings.table_precision,
        table_budget=int(settings.table_budget),
        threads=settings.threads,
    )


class ModelRegistry:
    """One model for now, and none until it has been loaded and has answered once."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._current: Classifier | None = None

    def add(self, path: Path) -> Classifier:
        """Load aside, warm up, publish. Blocks for seconds: call it off the event loop."""
        classifier = self._load(path)
        # The first call pays for lazy set-up in the engine; it is not to be a user's.
        classifier.classify(["warm up", ""])
        self._current = classifier
        return classifier

    def get(self) -> Classifier:
        """The model that answers now. Raises NotReadyError."""
        if self._current is None:
            raise NotReadyError("The model is still loading; try again shortly. /health/ready says when it answers.")
        return self._current

    def all(self) -> list[Classifier]:
        """Every loaded model."""
        return [] if self._current is None else [self._current]
