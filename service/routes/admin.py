"""Changing models while the service runs. On a port of its own; takes names only, never a path or an address."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from service.answer import Answer, json_answer
from service.call import Call
from service.errors import ConflictError, InvalidRequestError, UnknownModelError
from service.model_registry import ModelRegistry
from service.plan import ModelPlan as Plan
from service.plan import Name, is_name
from service.request_body import Form, parse_unrepeated, validated
from service.route import Route
from textcnn.errors import ArtifactError, EngineError


class Activation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Name


def routes(registry: ModelRegistry) -> list[Route]:
    async def show(call: Call) -> Answer:
        """Every model: what is on disk, what is loaded, and which versions answer."""
        return json_answer({"models": registry.overview()})

    async def activate(call: Call) -> Answer:
        """Load a version aside, try it, and make it `live`; what was live becomes `previous` and stays loaded."""
        version = (await read(call, Activation)).version
        name = model(call)
        if version not in registry.on_disk().get(name, []):
            raise UnknownModelError(f"Model {name} has no complete version {version!r} on disk.")
        return await changed(name, registry.activate(name, version))

    async def roll_back(call: Call) -> Answer:
        """Make `previous` live again, at once."""
        if call.header(b"content-type"):  # a form of a web page has another; who sends no body needs none
            call.need(b"application/json")
        name = model(call)
        return await changed(name, registry.roll_back(name))

    async def replace(call: Call) -> Answer:
        """Set aliases, weights and shadow; versions that none of them names are let go."""
        plan, name = await read(call, Plan), model(call)
        there = registry.on_disk().get(name, [])
        for alias in plan.aliases:
            if alias in there:
                raise InvalidRequestError(f"{alias!r} is a version of model {name}; give the alias another name.")
        missing = [version for version in plan.versions if version not in there]
        if missing:
            raise UnknownModelError(f"Model {name} has no complete version {', '.join(missing)} on disk.")
        return await changed(name, registry.change(name, lambda before: plan))

    def model(call: Call) -> str:
        name = call.parameters["name"]
        there = name in registry.on_disk()
        if there and not is_name(name):
            raise InvalidRequestError(
                f"Model {name[:64]!r} cannot change while it runs: such a name takes letters A to Z, digits, '.', '_' "
                "and '-' only, 64 at most. Rename its folder and start again."
            )
        if not there:
            raise UnknownModelError(f"There is no model {name[:64]!r} on disk.")
        return name

    async def changed(name: str, change: Any) -> Answer:
        try:
            plan: Plan = await change
        except (ArtifactError, EngineError) as error:
            raise ConflictError(f"{error}. What answered before still does.") from None
        return json_answer({"name": name, **plan.model_dump()})

    return [
        Route(method="GET", path="/admin/models", endpoint=show, needs="admin"),
        Route(method="POST", path="/admin/models/{name}/activate", endpoint=activate, needs="admin"),
        Route(method="POST", path="/admin/models/{name}/rollback", endpoint=roll_back, needs="admin"),
        Route(method="PUT", path="/admin/models/{name}/plan", endpoint=replace, needs="admin"),
    ]


async def read(call: Call, form: type[Form]) -> Form:
    """The body as `form`. Raises InvalidJSONError or InvalidRequestError."""
    call.need(b"application/json")
    return validated(form, parse_unrepeated(await call.body()))
