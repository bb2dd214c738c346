"""GET /v1/models: what is loaded."""

from __future__ import annotations

from service.answer import Answer, json_answer
from service.call import Call
from service.model_registry import ModelRegistry
from service.route import Route
from service.schemas import ModelsResponse


def routes(registry: ModelRegistry) -> list[Route]:
    async def models(call: Call) -> Answer:
        """Every loaded version with its labels; empty while the first is loading."""
        plans = registry.plans
        return json_answer(
            {
                "default": registry.default,
                "models": [
                    {
                        "name": deployment.name,
                        "version": deployment.version,
                        "aliases": [
                            alias
                            for alias, version in plans[deployment.name].aliases.items()
                            if version == deployment.version
                        ],
                        "labels": deployment.labels,
                        "engine": deployment.classifier.engine_name,
                        "max_length": deployment.classifier.max_length,
                        "texts_per_record": deployment.texts_per_record,
                    }
                    for deployment in registry.all()
                ],
            }
        )

    return [
        Route(
            method="GET",
            path="/v1/models",
            endpoint=models,
            needs="infer",
            answer=ModelsResponse,
            errors=(401, 403, 421),
            tag="models",
        )
    ]
