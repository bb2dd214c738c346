"""Requests made up from our OpenAPI, and broken ones: never a 5xx, never a status or a body that is not documented."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@schemathesis.serializer("application/x-ndjson")
def as_it_is(context, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture(scope="module")
def schema(launch, tmp_path_factory):
    server = launch("--feedback", str(tmp_path_factory.mktemp("feedback"))).wait_until_ready()
    return schemathesis.openapi.from_url(server.url + "/openapi.json")


OPERATIONS = [
    "POST /v1/classify", "POST /v1/classify/stream", "POST /v1/explain", "POST /v1/feedback", "GET /v1/models",
    "GET /health/live", "GET /health/startup", "GET /health/ready", "GET /metrics",
    "POST /models/{name}", "POST /models/{name}/{version}", "POST /predict", "GET /info", "POST /invocations",
    "GET /ping", "POST /v1/models/{name}:predict", "POST /v1/models/{name}/versions/{version}:predict",
    "POST /v1/models/{name}:classify", "POST /v1/models/{name}/versions/{version}:classify", "GET /v1/models/{name}",
    "GET /v1/models/{name}/versions/{version}", "GET /v2", "GET /v2/health/live", "GET /v2/health/ready",
    *(f"{call}" for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
      for call in (f"GET {path}", f"GET {path}/ready", f"POST {path}/infer")),
]  # fmt: skip


def test_every_operation_is_among_those_that_are_tried(schema):
    assert {operation.ok().label for operation in schema.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        *((operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
        *((operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation.startswith("POST")),
    ],
)
def test_nothing_that_is_made_up_gets_an_answer_that_is_not_documented(schema, operation, mode):
    method, path = operation.split(" ")

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def try_one(case):
        case.validate_response(case.call(), checks=CHECKED)

    try_one()
