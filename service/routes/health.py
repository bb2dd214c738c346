"""GET /health/live: the process answers. /health/ready: it wants requests. /health/startup: it has been ready once."""

from __future__ import annotations

from service.answer import Answer, json_answer
from service.call import Call
from service.errors import NotReadyError
from service.lifecycle import Lifecycle
from service.model_registry import ModelRegistry
from service.route import Route
from service.schemas import Health


def routes(registry: ModelRegistry, lifecycle: Lifecycle) -> list[Route]:
    async def live(call: Call) -> Answer:
        """200 as long as the process answers at all; restart it where this fails."""
        return json_answer({"status": "live"})

    async def startup(call: Call) -> Answer:
        """200 once every model is loaded and has answered, and from then on."""
        registry.check_ready()
        return json_answer({"status": "started"})

    async def ready(call: Call) -> Answer:
        """200 while requests are welcome: once the models are loaded, and until the service is told to end."""
        if lifecycle.draining:
            raise NotReadyError("The service is ending; what is sent to it is still answered.")
        registry.check_ready()
        return json_answer({"status": "ready"})

    return [
        Route(method="GET", path="/health/live", endpoint=live, answer=Health, tag="health"),
        Route(method="GET", path="/health/startup", endpoint=startup, answer=Health, errors=(503,), tag="health"),
        Route(method="GET", path="/health/ready", endpoint=ready, answer=Health, errors=(503,), tag="health"),
    ]
