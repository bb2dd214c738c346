"""A span for each request, by OpenTelemetry (extra `traces`). Where spans go is said by OTEL_* variables, as usual.

The span continues the trace of the header traceparent. It has the route, the status and the request id; never a text.
"""

from __future__ import annotations

import os
from time import perf_counter, time_ns
from typing import TYPE_CHECKING

from service.answer import Answer
from service.call import Call
from service.route import Endpoint
from textcnn.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

NAME = "textcnn"


def make_tracer() -> Tracer:
    """Sends spans by OTLP over HTTP, in the background. Raises MissingExtraError."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise MissingExtraError("tracing", package=str(error.name), extra="traces") from None
    name = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": NAME}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer(NAME)


def trace_requests(endpoint: Endpoint, tracer: Tracer) -> Endpoint:
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()

    async def traced(call: Call) -> Answer:
        given = {name: call.header(name.encode()).decode("latin-1") for name in ("traceparent", "tracestate")}
        started = time_ns() - int((perf_counter() - call.arrived) * 1e9)
        span = tracer.start_span(
            call.method, context=propagator.extract(given), kind=SpanKind.SERVER, start_time=started
        )
        try:
            answer = await endpoint(call)
            span.update_name(f"{call.method} {call.template}")
            span.set_attribute("http.request.method", call.method)
            span.set_attribute("http.route", call.template)
            span.set_attribute("http.response.status_code", answer.status)
            span.set_attribute("textcnn.request_id", call.id)
            if answer.status >= 500:
                span.set_status(StatusCode.ERROR)
            return answer
        finally:
            span.end()

    return traced
