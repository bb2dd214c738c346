"""The wiring: settings in, ASGI app out. Nothing happens on import."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from anyio import CapacityLimiter
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from service.errors import RequestError, answer_http_exception, answer_request_error
from service.find_model import find_model
from service.metrics import Metrics
from service.middleware.body_limit import BodyLimitMiddleware
from service.middleware.failures import FailuresMiddleware
from service.middleware.metrics import MetricsMiddleware
from service.middleware.request_id import RequestIdMiddleware
from service.model_registry import Load, ModelRegistry, load_classifier
from service.routes import classify, docs, health, models
from service.routes import metrics as metrics_route
from service.settings import Settings
from textcnn.errors import TextCNNError

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    load: Load | None = None,
    on_load_failure: Callable[[Exception], None] = lambda error: None,
) -> FastAPI:
    """The app, which answers at once and is ready when `load` has brought the model (as the settings say).

    Raises ArtifactError where there is no model. `on_load_failure` is told of one that cannot be loaded.
    """
    path = find_model(settings.models, settings.model)
    registry = ModelRegistry(load or partial(load_classifier, settings=settings))
    metrics = Metrics()

    async def bring_up() -> None:
        try:
            model = await asyncio.to_thread(registry.add, path)
        except Exception as error:
            expected = isinstance(error, TextCNNError)
            log.critical("cannot load the model: %s", error, exc_info=not expected)
            on_load_failure(error)
            return
        metrics.model.labels(model.name, model.version, model.engine_name).set(1)
        fields = {"model": model.name, "version": model.version, "engine": model.engine_name}
        log.info("ready", extra={"fields": fields})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(bring_up())
        yield
        loading.cancel()

    app = FastAPI(
        title="textcnn",
        description="Labels for texts.",
        version="1",  # of the API, as in its paths
        lifespan=lifespan,
        openapi_url=None,  # routes/docs.py serves it, without outside resources
        redirect_slashes=False,
        # outermost first; a failure is turned into an answer inside of what counts and names answers
        middleware=[
            Middleware(RequestIdMiddleware),
            Middleware(MetricsMiddleware, metrics=metrics),
            Middleware(FailuresMiddleware),
            Middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes),
        ],
        exception_handlers={RequestError: answer_request_error, HTTPException: answer_http_exception},
    )
    # Routes are tried in order: the busiest first.
    app.router.routes += [
        *classify.routes(settings, registry, metrics, CapacityLimiter(os.cpu_count() or 1)),
        *health.routes(registry),
        *models.routes(registry),
        *metrics_route.routes(metrics),
        *(docs.routes(app) if settings.docs else ()),
    ]
    return app
