"""GET /v1/models: what is loaded."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.errors import json_response
from service.model_registry import ModelRegistry
from service.routes.lean import LeanRoute
from service.schemas import ModelsResponse


def routes(registry: ModelRegistry) -> list[LeanRoute]:
    async def models(request: Request) -> Response:
        """Every loaded model with its labels; empty while the first is loading."""
        return json_response(
            {
                "models": [
                    {
                        "name": classifier.name,
                        "version": classifier.version,
                        "labels": classifier.classes_,
                        "engine": classifier.engine_name,
                        "max_length": classifier.max_length,
                    }
                    for classifier in registry.all()
                ]
            }
        )

    return [LeanRoute("/v1/models", models, methods=["GET"], response_model=ModelsResponse, tags=["models"])]
