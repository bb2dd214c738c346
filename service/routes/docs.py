"""GET /docs and /openapi.json. Script and style come from us, and the page may load nothing from elsewhere."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from service.answer import JSON, Answer
from service.call import Call
from service.route import Endpoint, Route

TITLE, VERSION = "textcnn", "1"  # the version of the API, as in its paths
ABOUT = (
    "Labels for texts. POST /v1/classify is the main path; those of other servers' formats are for clients that were "
    'written for them. Every error of ours is {"error": {"code", "message", "request_id"}}.'
)
KEY = "key"
ASSETS = {"swagger-ui-bundle.js": b"text/javascript", "swagger-ui.css": b"text/css"}
CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    b"script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)


def routes(documented: Sequence[Route], *, keys: bool = False) -> list[Route]:
    """`keys`: they are asked for, and the page has a field for one."""
    # Made when somebody looks: FastAPI, which writes the schema, takes longer to import than all the rest.
    openapi = cache(lambda: orjson.dumps(openapi_schema(documented, keys=keys)))
    page = cache(_page)

    async def show_page(call: Call) -> Answer:
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", CONTENT_SECURITY_POLICY),
        ]
        return Answer(await asyncio.to_thread(page), headers=headers)

    async def show_openapi(call: Call) -> Answer:
        return Answer(await asyncio.to_thread(openapi), headers=[JSON])

    return [
        Route(method="GET", path="/openapi.json", endpoint=show_openapi),
        Route(method="GET", path="/docs", endpoint=show_page),
        *(
            Route(method="GET", path=f"/docs/assets/{name}", endpoint=_asset(name, media_type))
            for name, media_type in ASSETS.items()
        ),
    ]


def openapi_schema(routes: Sequence[Route], *, keys: bool) -> dict[str, Any]:
    """OpenAPI of the routes that have a tag."""
    from fastapi.openapi.utils import get_openapi
    from fastapi.responses import JSONResponse, Response
    from fastapi.routing import APIRoute

    found = [
        APIRoute(
            route.path,
            _described(route),
            methods=[route.method],
            response_model=route.answer,
            response_class=JSONResponse if route.answer else Response,
            responses={
                **({} if route.answer else {200: {"content": {route.answer_type: {"schema": {"type": "string"}}}}}),
                **{status: {"model": route.error} for status in route.errors},
            },
            openapi_extra=_extra(route, keys=keys),
            operation_id=_operation(route),
            summary=_lines(route)[0],
            tags=[route.tag],
        )
        for route in routes
        if route.tag
    ]
    schema = get_openapi(title=TITLE, version=VERSION, description=ABOUT, routes=found)
    parts = schema["components"]["schemas"]
    for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["schema"] = _with_parts(content["schema"], parts)
    if keys:
        schema["components"]["securitySchemes"] = {KEY: {"type": "http", "scheme": "bearer"}}
    return schema


def _operation(route: Route) -> str:
    """What a generated client calls it: the endpoint's name, and behind it which of several paths it is."""
    protocol = "_v2" if route.path.startswith("/v2") else ""
    return f"{route.endpoint.__name__}{protocol}{'_version' if '{version}' in route.path else ''}"


def _with_parts(schema: Any, parts: dict[str, Any]) -> Any:
    """The schema with its objects among the `parts`, under their titles, by which a generated client calls them."""
    if isinstance(schema, list):
        return [_with_parts(part, parts) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_parts(value, parts) for key, value in schema.items()}
    name = found.get("title")
    if "properties" not in found or not isinstance(name, str) or parts.setdefault(name, found) != found:
        return found  # of two that differ under one title the second stays where it is
    return {"$ref": f"#/components/schemas/{name}"}


def _lines(route: Route) -> tuple[str, str]:
    """The first paragraph of the endpoint's docstring, and the others."""
    first, _, others = inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n\n")
    return " ".join(first.split()), others


def _described(route: Route) -> Callable[[], None]:
    """A function with the endpoint's name and the end of its docstring, and no arguments to make something of."""

    def endpoint() -> None: ...

    endpoint.__name__ = route.endpoint.__name__
    endpoint.__doc__ = _lines(route)[1]
    return endpoint


def _extra(route: Route, *, keys: bool) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if keys and route.needs:
        extra["security"] = [{KEY: []}]
    if route.body:
        extra["requestBody"] = route.body
    if route.parameters:
        extra["parameters"] = list(route.parameters)
    return extra


def _page() -> bytes:
    from fastapi.openapi.docs import get_swagger_ui_html

    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=TITLE,
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
        # else Swagger UI sends the address of our openapi.json to a validator on the internet
        swagger_ui_parameters={"validatorUrl": None},
    )
    return bytes(page.body)


def _asset(name: str, media_type: bytes) -> Endpoint:
    content = cache(lambda: (files("fastapi_offline") / "static" / name).read_bytes())

    async def show(call: Call) -> Answer:
        return Answer(await asyncio.to_thread(content), headers=[(b"content-type", media_type)])

    return show
