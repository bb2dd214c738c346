"""Every series that /metrics shows. deploy/ has a dashboard and alerts over these names, and a test that they exist."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from math import exp
from time import monotonic
from typing import Any, Literal, get_args

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from service.drift import RECENT_TEXTS, Both, confidence_bin, drift, expected_counts, label_bin
from service.supervisor import METRICS_FOLDER
from textcnn.types import SHARES, Prediction, Ranking, TokenBatch

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TENTHS = tuple(step / 10 for step in range(1, 11))
VERSION = ("model", "version")
RECENT = "textcnn_recent"
TOKENS_SECONDS = 0.05
Work = Literal["classify", "explain", "stream"]
WORKS = get_args(Work)


def observe_alike(histogram: Histogram, value: float, times: int) -> None:
    """As `histogram.observe(value)`, so often."""
    histogram._buckets[bisect_left(histogram._upper_bounds, value)].inc(times)
    histogram._sum.inc(value * times)


class Metrics:
    """The series of one app, in a registry of its own so that two apps in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        if METRICS_FOLDER not in os.environ:
            ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "textcnn_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "textcnn_http_request_seconds",
            "Time until the answer begins.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.texts = Counter("textcnn_texts", "Texts classified.", VERSION, registry=self.registry)
        self.failed_texts = Counter(
            "textcnn_failed_texts", "Texts that made the model fail.", VERSION, registry=self.registry
        )
        self.predictions = Counter(
            "textcnn_predictions",
            "Texts by the label they got; of several tasks by task=label.",
            (*VERSION, "label"),
            registry=self.registry,
        )
        self.unlabelled_texts = Counter(
            "textcnn_unlabelled_texts",
            "Texts that got no label: the model abstained, or none of any number of labels reached its threshold.",
            (*VERSION, "reason"),
            registry=self.registry,
        )

        def seconds(name: str, what: str) -> Histogram:
            return Histogram(name, what, (*VERSION, "work"), buckets=SECONDS, registry=self.registry)

        self.queue_seconds = seconds("textcnn_queue_seconds", "Wait of a batch's oldest text.")
        self.tokenize_seconds = seconds("textcnn_tokenize_seconds", "Time of a batch in the tokenizer.")
        self.infer_seconds = seconds(
            "textcnn_infer_seconds", "Time of a batch in the model, without what textcnn_tokenize_seconds has of it."
        )
        self.batch_texts = Histogram(
            "textcnn_batch_texts", "Texts in a batch.", VERSION, buckets=SIZES, registry=self.registry
        )
        self.batches = Counter("textcnn_batches", "Batches run.", (*VERSION, "lane"), registry=self.registry)
        self.rejections = Counter("textcnn_rejections", "Requests refused.", ("reason",), registry=self.registry)
        self.queued_seconds = Gauge(
            "textcnn_queued_seconds",
            "Forecast of the work that waits or is being done.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.ready = Gauge(
            "textcnn_ready",
            "1 while every process wants requests.",
            multiprocess_mode="livemin",
            registry=self.registry,
        )
        self.model = Gauge(
            "textcnn_model_info",
            "1 for each loaded model, 0 once it was let go.",
            (*VERSION, "engine"),
            multiprocess_mode="livemax",
            registry=self.registry,
        )
        self.reloads = Counter(
            "textcnn_model_loads", "Models brought in, by how it went.", ("outcome",), registry=self.registry
        )
        self.shadow = Counter(
            "textcnn_shadow_texts",
            "Texts a shadow version answered as well, by whether it agreed.",
            (*VERSION, "agreed"),
            registry=self.registry,
        )
        self.familiarity = Histogram(
            "textcnn_familiarity",
            "Of sampled texts, the share of validation texts that were stranger; even where nothing has changed.",
            VERSION,
            buckets=TENTHS,
            registry=self.registry,
        )
        self.tokens = Counter("textcnn_tokens", "Tokens of sampled batches.", VERSION, registry=self.registry)
        self.unknown_tokens = Counter(
            "textcnn_unknown_tokens", "Those that the vocabulary does not have.", VERSION, registry=self.registry
        )
        # not shown: what drift is computed of, summed over the processes
        self.recent = Gauge(
            RECENT,
            "Recent answers by bin.",
            (*VERSION, "of", "bin"),
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.expected: dict[tuple[str, str], Both] = {}
        self.feedback = Counter("textcnn_feedback", "Feedback kept.", registry=self.registry)
        self.feedback_failures = Counter(
            "textcnn_feedback_failures",
            "Feedback that could not be kept: the disk is full, or fails.",
            registry=self.registry,
        )
        self.confidence = Histogram(
            "textcnn_confidence", "Probability of the best label.", VERSION, buckets=SHARES, registry=self.registry
        )

    def exposition(self) -> bytes:
        """All series in Prometheus' text format; of all processes, where there are several."""
        together = self.registry
        if METRICS_FOLDER in os.environ:
            together = CollectorRegistry()
            MultiProcessCollector(together)
        return generate_latest(WithDrift(together, self.expected))


class WithDrift:
    """What a registry collects, with drift in place of the histograms that it is computed of."""

    def __init__(self, registry: CollectorRegistry, expected: Mapping[tuple[str, str], Both]) -> None:
        self._registry = registry
        self._expected = expected

    def collect(self) -> Iterator[Metric]:
        recent: dict[tuple[str, str], Both] = {}
        for family in self._registry.collect():
            if family.name != RECENT:
                yield family
                continue
            for sample in family.samples:
                of = recent.setdefault((sample.labels["model"], sample.labels["version"]), {})
                of.setdefault(sample.labels["of"], {})[sample.labels["bin"]] = sample.value
        labels = [*VERSION, "of"]
        psi = GaugeMetricFamily("textcnn_drift_psi", "Change of recent answers from the validation's.", labels=labels)
        by_chance = GaugeMetricFamily(
            "textcnn_drift_psi_by_chance", "What textcnn_drift_psi is where nothing has changed.", labels=labels
        )
        for names, usual in self._expected.items():
            for what, counts in recent.get(names, {}).items():
                if found := drift(counts, usual[what]):
                    psi.add_metric([*names, what], found.psi)
                    by_chance.add_metric([*names, what], found.by_chance)
        yield psi
        yield by_chance


class WorkMetrics:
    """Where the time of one kind of work goes: waiting, in the tokenizer, in the model."""

    def __init__(self, metrics: Metrics, model: str, version: str, work: Work) -> None:
        names = (model, version, work)
        self.queue_seconds = metrics.queue_seconds.labels(*names)
        self._tokenize_seconds = metrics.tokenize_seconds.labels(*names)
        self._infer_seconds = metrics.infer_seconds.labels(*names)

    def ran(self, seconds: float, tokenizing: float) -> None:
        """The model ran for so long, of which so long in the tokenizer."""
        self._tokenize_seconds.observe(tokenizing)
        self._infer_seconds.observe(max(0.0, seconds - tokenizing))


def _number(total: float) -> float:
    """The sum of probabilities. Raises FloatingPointError where one of them is no number, as JSON knows none such."""
    if total != total:
        raise FloatingPointError("a probability is no number; the weights of the model may be too large")
    return total


class VersionMetrics:
    """The series of one version of a model, found once."""

    def __init__(self, metrics: Metrics, model: str, version: str, labels: Sequence[str]) -> None:
        names = (model, version)
        self._labels = tuple(labels)
        self._confidence = metrics.confidence.labels(*names)
        self._predictions = {label: metrics.predictions.labels(*names, label) for label in labels}
        self._metrics, self._names = metrics, names
        self.texts = metrics.texts.labels(*names)
        self.familiarity = metrics.familiarity.labels(*names)
        self._unlabelled = {
            reason: metrics.unlabelled_texts.labels(*names, reason) for reason in ("abstained", "no_label")
        }
        self.work: dict[Work, WorkMetrics] = {work: WorkMetrics(metrics, model, version, work) for work in WORKS}
        self._tokens, self._unknown = metrics.tokens.labels(*names), metrics.unknown_tokens.labels(*names)
        self._tokens_at = 0.0  # of time.monotonic; when they are counted again
        self._counted: dict[tuple[str, str], float] = {}
        self._recent: dict[tuple[str, str], float] = {}
        self.failed_texts = metrics.failed_texts.labels(*names)
        self.batch_texts = metrics.batch_texts.labels(*names)
        self.batches = {True: metrics.batches.labels(*names, "loop"), False: metrics.batches.labels(*names, "thread")}

    def batch(self, texts: int, failed: int = 0) -> None:
        """So many texts were classified together, of which the model failed on some."""
        self.texts.inc(texts)
        self.batch_texts.observe(texts)
        if failed:
            self.failed_texts.inc(failed)

    def ranked(self, ranking: Ranking) -> None:
        """As `predicted`, from columns."""
        best, scores = ranking.best[:, 0], ranking.probabilities[:, 0].astype(np.float64)
        total = _number(float(scores.sum()))
        if without := int(np.count_nonzero(ranking.abstained)):
            best = best[~ranking.abstained]
            self._unlabelled["abstained"].inc(without)
        for label, count in zip(self._labels, np.bincount(best, minlength=len(self._labels)).tolist(), strict=True):
            if count:
                self._predictions[label].inc(count)
        for bucket, count in enumerate(np.bincount(np.searchsorted(SHARES, scores)).tolist()):
            if count:
                self._confidence._buckets[bucket].inc(count)
        self._confidence._sum.inc(total)

    def expect(self, figures: Mapping[str, Any]) -> None:
        """Hold the answers against what training measured, where it did."""
        if expected := expected_counts(figures):
            self._metrics.expected[self._names] = expected

    def forget(self) -> None:
        """The version is let go."""
        self._metrics.expected.pop(self._names, None)
        for of, name in self._recent:
            self._metrics.recent.labels(*self._names, of, name).set(0)  # with several processes none can be taken away

    def keep_recent(self) -> None:
        """Add what was answered since the last time to the recent answers, and let the older ones fade."""
        if self._names not in self._metrics.expected:
            return
        counted: dict[tuple[str, str], float] = {
            ("label", label_bin(label)): series._value.get() for label, series in self._predictions.items()
        }
        counted["label", label_bin(None)] = sum(series._value.get() for series in self._unlabelled.values())
        for place, bucket in enumerate(self._confidence._buckets):
            name = "confidence", confidence_bin(min(place, len(SHARES) - 1))
            counted[name] = counted.get(name, 0.0) + bucket.get()
        new = {name: count - self._counted.get(name, 0.0) for name, count in counted.items()}
        self._counted = counted
        texts = sum(count for (of, _), count in new.items() if of == "confidence")
        if not texts:
            return
        keep = exp(-texts / RECENT_TEXTS)
        for name, count in new.items():
            self._recent[name] = keep * self._recent.get(name, 0.0) + count
            self._metrics.recent.labels(*self._names, *name).set(self._recent[name])

    def tokenized(self, batch: TokenBatch) -> None:
        """A batch was. Unknown tokens are counted in some batches only: it takes as long as a short text."""
        if monotonic() >= self._tokens_at:
            self._tokens_at = monotonic() + TOKENS_SECONDS
            self._tokens.inc(len(batch.values))
            self._unknown.inc(int(np.count_nonzero(batch.unknown)))

    def predicted(self, predictions: Sequence[Prediction]) -> None:
        """Raises FloatingPointError where a probability is no number; then none is counted."""
        first = predictions[0]
        if first.tasks is None and first.labels is None and not any(one.abstained for one in predictions):
            labels = Counts([one.top[0].label for one in predictions])
            best = [one.top[0].probability for one in predictions]
            total = _number(sum(best))
        else:
            best = [probability for one in predictions for probability in one.confidences]
            total = _number(sum(best))
            _number(sum(score.probability for one in predictions for score in one.top))  # of any number of labels
            labels = Counts(label for one in predictions for label in one.given)
            if without := sum(not one.given for one in predictions):
                reason = "abstained" if first.labels is None else "no_label"
                self._unlabelled[reason].inc(without)
        for label, count in labels.items():
            self._predictions[label].inc(count)
        # A whole batch at a time, past Histogram.observe: one call a text costs a third of what classifying it does.
        for bucket, count in Counts(bisect_left(SHARES, probability) for probability in best).items():
            self._confidence._buckets[bucket].inc(count)
        self._confidence._sum.inc(total)
