"""GET /docs and /openapi.json. Script and style come from us, and the page may load nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from service.errors import json_response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)


def routes(app: FastAPI) -> list[BaseRoute]:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
        # else Swagger UI sends the address of our openapi.json to a validator on the internet
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["content-security-policy"] = CONTENT_SECURITY_POLICY

    async def docs(request: Request) -> Response:
        return page

    async def openapi(request: Request) -> Response:
        return json_response(app.openapi())

    assets = StaticFiles(directory=str(files("fastapi_offline") / "static"))
    return [Route("/openapi.json", openapi), Route("/docs", docs), Mount("/docs/assets", assets)]
