"""One version of one model, at work: its batcher, its metrics, and how many requests hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol

import orjson

from service.batcher import BatchReport, MicroBatcher
from service.metrics import Metrics, VersionMetrics
from textcnn.types import Prediction

TEXT_COST = 32  # what a text costs beside its characters, in characters


class Classifier(Protocol):
    """What the service needs of a model; `textcnn.TextClassifier` is one."""

    @property
    def classes_(self) -> tuple[str, ...]: ...
    @property
    def engine_name(self) -> str: ...
    @property
    def max_length(self) -> int: ...

    def classify(self, texts: Sequence[str], *, top_k: int | None = 1) -> list[Prediction]:
        """One prediction a text, in order. Called from several threads at once."""
        ...


def text_cost(text: str) -> int:
    return len(text) + TEXT_COST


def warm_up(classifier: Classifier) -> list[tuple[int, float]]:
    """The first calls pay for lazy set-up in the engine; they are not to be a user's. Blocks.

    Returns (cost, seconds) of some batches, from which a batcher can tell what is short.
    """
    timings = []
    for count in (1, 16, 1, 16, 1):
        texts = ["warm up with a text of some words", ""][:count] * max(1, count // 2)
        started = perf_counter()
        classifier.classify(texts)
        timings.append((sum(map(text_cost, texts)), perf_counter() - started))
    return timings[2:]


class Deployment:
    """Make it on the event loop, from a classifier that is warm."""

    def __init__(
        self,
        classifier: Classifier,
        metrics: Metrics,
        *,
        name: str,
        version: str,
        max_batch_texts: int,
        max_batch_chars: int,
    ) -> None:
        self.classifier = classifier
        self.name = name
        self.version = version
        self.labels = classifier.classes_
        self.quoted_labels = {label: orjson.dumps(label).decode() for label in self.labels}
        self.in_use = 0
        self._retired = False
        self._series = VersionMetrics(metrics, self.name, self.version, self.labels)
        metrics.model.labels(self.name, self.version, classifier.engine_name).set(1)
        self._info = metrics.model, (self.name, self.version, classifier.engine_name)
        self.batcher: MicroBatcher[tuple[str, int], Prediction] = MicroBatcher(
            self._classify,
            max_items=max_batch_texts,
            max_cost=max_batch_chars,
            observe=self._observe,
            name=f"{self.name}/{self.version}",
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """As long as a request holds it, it is not closed."""
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1
            if self._retired and not self.in_use:
                self.batcher.close()

    def retire(self) -> None:
        """Close it as soon as nobody holds it."""
        self._retired = True
        gauge, labels = self._info
        gauge.remove(*labels)
        if not self.in_use:
            self.batcher.close()

    def _classify(self, items: list[tuple[str, int]]) -> list[Prediction]:
        """Predictions of (text, top_k), with so many labels each. On the loop or in the batcher's thread."""
        most = max(top_k for _, top_k in items)
        predictions = self.classifier.classify([text for text, _ in items], top_k=most)
        self._series.predicted(predictions)
        if all(top_k == most for _, top_k in items):
            return predictions
        return [
            prediction if top_k == most else Prediction(prediction.top[:top_k])
            for prediction, (_, top_k) in zip(predictions, items, strict=True)
        ]

    def _observe(self, report: BatchReport) -> None:
        series = self._series
        series.texts.inc(report.items)
        series.batch_texts.observe(report.items)
        series.queue_seconds.observe(report.waited)
        series.classify_seconds.observe(report.seconds)
        series.batches[report.inline].inc()
        if report.failed:
            series.failed_texts.inc(report.failed)
