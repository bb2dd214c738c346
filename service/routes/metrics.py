"""GET /metrics, for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST

from service.answer import Answer
from service.call import Call
from service.metrics import Metrics
from service.route import Route


def routes(metrics: Metrics) -> list[Route]:
    async def show(call: Call) -> Answer:
        """Prometheus text format; of all processes together."""
        return Answer(metrics.exposition(), headers=[(b"content-type", CONTENT_TYPE_LATEST.encode())])

    return [
        Route(
            method="GET",
            path="/metrics",
            endpoint=show,
            needs="metrics",
            answer_type="text/plain",
            errors=(401, 403, 421),
            tag="metrics",
        )
    ]
