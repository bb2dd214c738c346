from __future__ import annotations

import re

import pytest

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
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/classify", "/v1/classify/stream", "/v1/explain", "/v1/models", "/health/live", "/health/startup",
        "/health/ready",
        "/metrics", *FOREIGN,
    }  # fmt: skip
    post = paths["/v1/classify"]["post"]
    assert set(post["responses"]) == {"200", *map(str, ERRORS)}
    one, several = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert one["required"] == ["text"]
    assert several["properties"]["texts"]["maxItems"] == 1024


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
def test_the_documentation_can_be_switched_off(make_client, path):
    assert make_client(docs=False).get(path).status_code == 404


@pytest.mark.parametrize("path", ["/docs/assets/../core.py", "/docs/assets/%2e%2e/core.py", "/docs/assets/nothing.js"])
def test_nothing_but_the_assets_is_served(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
