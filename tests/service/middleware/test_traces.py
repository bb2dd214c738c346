from __future__ import annotations

import sys

import pytest

from textcnn.errors import MissingExtraError

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch):
    """What would have been sent."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("service.app.make_tracer", lambda: provider.get_tracer("test"))
    return exporter.get_finished_spans


def test_a_request_is_a_span_of_the_callers_trace_and_holds_no_text(make_client, spans):
    client = make_client(traces=True)
    headers = {"traceparent": PARENT, "x-request-id": "r-1"}
    client.post("/v1/classify", json={"text": "secret cherry"}, headers=headers)
    client.post("/v1/classify", json={"text": "boom"})
    client.get("/nowhere/secret")
    named = [span for span in spans() if not span.name.startswith("GET /health")]
    assert [span.name for span in named] == ["POST /v1/classify", "POST /v1/classify", "GET unmatched"]
    first, failed, _ = named
    assert f"{first.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{first.parent.span_id:016x}" == PARENT.split("-")[2]
    assert first.attributes["textcnn.request_id"] == "r-1"
    assert (failed.attributes["http.response.status_code"], failed.status.is_ok) == (500, False)
    assert "secret" not in "".join(span.to_json() for span in named)


@pytest.mark.parametrize("given", ["", "nonsense", "00-0-0-0", "\x7f" * 10, PARENT + "-more"])
def test_a_traceparent_that_is_none_begins_a_new_trace(make_client, spans, given):
    assert make_client(traces=True).get("/v1/models", headers={"traceparent": given}).status_code == 200
    assert spans()[-1].parent is None or given.startswith(PARENT)


def test_without_its_packages_it_says_which_extra_to_install(make_client, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtraError, match=r"textcnn\[traces\]"):
        make_client(traces=True)
