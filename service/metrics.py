"""Every series that /metrics shows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The series of one app, in a registry of its own so that two apps in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "textcnn_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "textcnn_http_request_seconds", "Time to answer.", ("route",), buckets=SECONDS, registry=self.registry
        )
        self.texts = Counter("textcnn_texts", "Texts classified.", registry=self.registry)
        self.classify_seconds = Histogram(
            "textcnn_classify_seconds", "Time in the model, of one request.", buckets=SECONDS, registry=self.registry
        )
        self.model = Gauge(
            "textcnn_model_info", "1 for each loaded model.", ("model", "version", "engine"), registry=self.registry
        )
