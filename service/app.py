"""The wiring: settings in, ASGI app out. Nothing happens on import."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from service.admission import Admission, RateLimits
from service.answer import CLOSE, Send
from service.call import Call, Receive
from service.follow import follow
from service.inference import Inference
from service.keys import KeyRing, read_keys
from service.lifecycle import Lifecycle
from service.memory import trim_heaps
from service.metrics import Metrics
from service.middleware.access import check_host, check_origin, dispatch
from service.middleware.failures import answer_failures, log_failure
from service.middleware.metrics import count_requests, make_counter
from service.middleware.request_id import make_namer, request_ids
from service.middleware.traces import make_tracer, trace_requests
from service.model_registry import Load, ModelRegistry, load_classifier
from service.route import Route, RouteTable
from service.routes import (
    admin,
    classify,
    docs,
    explain,
    feedback,
    health,
    hugging_face,
    mlflow,
    models,
    open_inference,
    playground,
    stream,
    tei,
    tf_serving,
)
from service.routes import metrics as metrics_route
from service.routes.foreign import Foreign
from service.settings import Settings
from service.shadow import Shadow
from service.turn_away import TurnAway
from textcnn.errors import TextCNNError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

log = logging.getLogger(__name__)

FORMATS = (hugging_face, tei, open_inference, mlflow, tf_serving)
GAUGES_SECONDS = 1.0
# How many more containers there must be until the collector of garbage looks at them, and how often until it looks at
# older ones. Requests leave none, but those under way are several hundred now and then; with Python's own 700 it holds
# everybody up dozens of times a second. With 10,000 it takes 2 to 4 ms where a thousand connections come at once; with
# 1,500 more memory is left after many reloads.
GARBAGE = (5_000, 100, 10)


class App:
    """An ASGI application: answers HTTP by its routes, and works in the background while it lives."""

    def __init__(
        self,
        routes: list[Route],
        settings: Settings,
        metrics: Metrics,
        keys: KeyRing,
        lifecycle: Lifecycle,
        background: Sequence[Callable[[], Awaitable[None]]] = (),
        admin: App | None = None,
        tracer: Tracer | None = None,
        ready_first: bool = False,
        for_admins: bool = False,
        doors: Mapping[str, Admission] | None = None,
    ) -> None:
        self.routes = routes
        self.admin = admin
        self._lifecycle = lifecycle
        self._ready_first = ready_first
        self._max_body_bytes = settings.max_body_bytes
        self._background = background
        main = "GET /admin/models" if for_admins else "POST /v1/classify"
        endpoint = dispatch(RouteTable(routes, main), keys)
        # outermost last: a failure is turned into an answer inside of what counts and names answers
        if for_admins:
            endpoint = check_host(check_origin(endpoint), settings.admin_host_names, "--admin-host")
        else:
            endpoint = check_host(endpoint, settings.host_names, "--hosts")
        endpoint = answer_failures(endpoint)
        count, name = make_counter(metrics), make_namer()
        endpoint = count_requests(endpoint, count)
        self._answer = request_ids(trace_requests(endpoint, tracer) if tracer else endpoint, name)
        # where every request is to have a span, none may be missing
        self.turn_away = TurnAway({} if tracer else doors or {}, name, count, lifecycle)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        answer = await self._answer(Call(scope, receive, self._max_body_bytes))
        if self._lifecycle.draining:
            answer.headers.append(CLOSE)
        try:
            # taken out, for it refers to the scope
            await answer(send, scope.pop("textcnn.send_whole", None))
        except Exception as error:
            log_failure(error)
            raise  # half an answer is out: only breaking the connection tells the client so

    @property
    def streams(self) -> frozenset[str]:
        """Paths whose request body may go on for ever."""
        return frozenset(route.path for route in self.routes if route.streams)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        tasks = [asyncio.ensure_future(work()) for work in self._background]
        if self._ready_first:
            await self._lifecycle.loaded.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    settings: Settings,
    *,
    load: Load | None = None,
    on_load_failure: Callable[[Exception], None] = lambda error: None,
    lifecycle: Lifecycle | None = None,
    ready_first: bool = False,
) -> App:
    """The app, which answers at once and is ready when `load` has brought the models (as the settings say).

    With `ready_first` connections are taken only then. Raises ArtifactError where there is no model, KeysError.
    `on_load_failure` is told of one that cannot be loaded.
    """
    metrics = Metrics()
    lifecycle = lifecycle or Lifecycle()
    registry = ModelRegistry(settings, metrics, load or partial(load_classifier, settings=settings))

    rejections = cache(metrics.rejections.labels)  # finding a series takes longer than adding to it

    def refused(reason: str, count: int) -> None:
        rejections(reason).inc(count)

    def bounded() -> Admission:
        return Admission(max_wait=settings.max_wait_ms / 1000, max_bytes=settings.max_queued_bytes, refused=refused)

    admission, explaining = bounded(), bounded()
    rates = RateLimits(refused, processes=settings.workers)
    inference = Inference(admission, explaining, rates, max_timeout_ms=settings.max_timeout_ms, refused=refused)

    async def bring_up() -> None:
        try:
            await load_and_follow()
        finally:  # also of what is cancelled while it loads
            registry.close()

    async def load_and_follow() -> None:
        try:
            await registry.start()
        except Exception as error:  # a damaged model may fail in any way; who waits has to be told
            expected = isinstance(error, TextCNNError)
            log.critical("cannot load the model: %s", error, exc_info=not expected)
            on_load_failure(error)
            lifecycle.loaded.set()
            return
        lifecycle.loaded.set()
        # What there is now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        fields = {"models": [f"{deployment.name}/{deployment.version}" for deployment in registry.all()]}
        log.info("ready", extra={"fields": {**fields, "default": registry.default}})
        await registry.watch()

    async def keep_gauges() -> None:
        before = seen = 0  # refusals, until the last two looks
        while True:
            await asyncio.sleep(GAUGES_SECONDS)
            metrics.queued_seconds.set(admission.seconds)
            # Of what was refused and answered meanwhile holes stay in the heap; of its end, until the look after.
            if admission.refusals > before:
                await asyncio.get_running_loop().run_in_executor(None, trim_heaps)
            before, seen = seen, admission.refusals
            for deployment in registry.all():
                deployment.keep_recent()

    keys = read_keys(settings.keys)
    foreign = Foreign(settings, registry, inference)
    routes = [
        *classify.routes(settings, registry, inference, Shadow(admission, metrics)),
        *explain.routes(settings, registry, inference),
        *stream.routes(settings, registry, inference),
        *(route for other in FORMATS for route in other.routes(foreign)),
        *health.routes(registry, lifecycle),
        *feedback.routes(settings, registry, metrics),
        *models.routes(registry),
        *metrics_route.routes(metrics),
    ]
    if settings.playground:
        routes += playground.routes()
    if settings.docs:
        routes += docs.routes(routes, keys=bool(keys))
    tracer = make_tracer() if settings.traces else None
    admin_app = App(admin.routes(registry), settings, metrics, keys, lifecycle, for_admins=True)
    background = [bring_up, keep_gauges]
    if keys.path:
        background.append(partial(follow, [keys.path], keys.read_again))
    doors = {"/v1/classify": admission, "/v1/explain": explaining}
    return App(routes, settings, metrics, keys, lifecycle, background, admin_app, tracer, ready_first, doors=doors)
