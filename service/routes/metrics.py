"""GET /metrics, for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.metrics import Metrics
from service.routes.lean import LeanRoute


def routes(metrics: Metrics) -> list[LeanRoute]:
    async def show(request: Request) -> Response:
        """Prometheus text format."""
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return [LeanRoute("/metrics", show, methods=["GET"], response_class=PlainTextResponse, tags=["metrics"])]
