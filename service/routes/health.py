"""GET /health/live: the process answers. GET /health/ready: the model does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.errors import json_response
from service.model_registry import ModelRegistry
from service.routes.lean import LeanRoute, documented
from service.schemas import Health


def routes(registry: ModelRegistry) -> list[LeanRoute]:
    async def live(request: Request) -> Response:
        """200 as long as the process answers at all; restart it where this fails."""
        return json_response({"status": "live"})

    async def ready(request: Request) -> Response:
        """200 once the model is loaded and has answered; until then send no traffic here."""
        registry.get()
        return json_response({"status": "ready"})

    return [
        LeanRoute("/health/live", live, methods=["GET"], response_model=Health, tags=["health"]),
        LeanRoute(
            "/health/ready", ready, methods=["GET"], response_model=Health, responses=documented(503), tags=["health"]
        ),
    ]
