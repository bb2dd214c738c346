from __future__ import annotations

import re

import pytest

from service.keys import add_key
from service.routes.classify import ERRORS


def test_the_documentation_page_loads_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text and "https://" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert client.get(address).status_code == 200


FOREIGN = {
    "/models/{name}", "/models/{name}/{version}", "/predict", "/info", "/invocations", "/ping", "/v2",
    "/v2/health/live",
    "/v2/health/ready", "/v1/models/{name}", "/v1/models/{name}/versions/{version}",
    *(f"/v1/models/{name}:{verb}"
      for name in ("{name}", "{name}/versions/{version}") for verb in ("predict", "classify")),
    *(f"/v2/models/{name}{call}"
      for name in ("{name}", "{name}/versions/{version}") for call in ("", "/ready", "/infer")),
}  # fmt: skip


def test_every_route_is_documented_with_its_errors(client):
    schema = client.get("/openapi.json").json()
    paths = schema["paths"]
    assert set(paths) == {
        "/v1/classify", "/v1/classify/stream", "/v1/explain", "/v1/models", "/health/live", "/health/startup",
        "/health/ready",
        "/metrics", *FOREIGN,
    }  # fmt: skip
    post = paths["/v1/classify"]["post"]
    assert set(post["responses"]) == {"200", *map(str, ERRORS)}
    schemas = schema["components"]["schemas"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["oneOf"] == [
        {"$ref": "#/components/schemas/ClassifyText"}, {"$ref": "#/components/schemas/ClassifyTexts"}
    ]  # fmt: skip
    assert schemas["ClassifyText"]["required"] == ["text"]
    assert schemas["ClassifyTexts"]["properties"]["texts"]["maxItems"] == 1024


def test_a_generated_client_has_short_names_for_what_it_calls_and_sends(client):
    schema = client.get("/openapi.json").json()
    operations = [operation for methods in schema["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"classify", "explain", "classify_stream", "predict_tf_serving_version", "live_v2"} <= set(names)
    for operation in operations:
        sent = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        assert sent is None or all("$ref" in one for one in sent.get("oneOf", [sent])), operation["operationId"]


def test_every_route_says_what_it_does_and_every_schema_has_a_name_of_its_own(client):
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method in methods.values():
            assert " " in method["summary"] and method["summary"].endswith("."), path
            assert method["summary"] not in method.get("description", "")
    assert [name for name in schema["components"]["schemas"] if not name.isalnum()] == []


def test_where_keys_are_asked_for_the_page_has_a_field_for_one(client, make_client, tmp_path):
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]
    add_key(tmp_path / "keys", "shop", ["infer"], 0)
    schema = make_client(keys=tmp_path / "keys").get("/openapi.json").json()
    assert schema["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert schema["paths"]["/v1/classify"]["post"]["security"] == [{"key": []}]
    assert "security" not in schema["paths"]["/health/live"]["get"]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
def test_the_documentation_can_be_switched_off(make_client, path):
    assert make_client(docs=False).get(path).status_code == 404


@pytest.mark.parametrize("path", ["/docs/assets/../core.py", "/docs/assets/%2e%2e/core.py", "/docs/assets/nothing.js"])
def test_nothing_but_the_assets_is_served(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
