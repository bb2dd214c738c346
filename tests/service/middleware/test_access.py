from __future__ import annotations

import re

import pytest

from service.admission import BURST_SECONDS
from service.keys import add_key
from service.middleware.access import BAD_KEYS_PER_SECOND
from service.routes.classify import MANY

ROUTES = [
    # method, path, scope
    ("POST", "/v1/classify", "infer"),
    ("GET", "/v1/models", "infer"),
    ("GET", "/metrics", "metrics"),
]


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys.jsonl"
    made = {scope: add_key(file, scope, [scope], 0) for scope in ("infer", "admin", "metrics")}
    return file, made


@pytest.fixture
def stopped(monkeypatch):
    """No time passes, so that no rate fills up again while the test runs."""
    monkeypatch.setattr("service.admission.monotonic", lambda: 0.0)


def ask(client, method, path, key=None, **headers):
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    return client.request(method, path, json={"text": "a"} if method == "POST" else None, headers=headers)


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_each_route_takes_keys_of_its_scope_and_no_others(make_client, keys, method, path, scope):
    file, made = keys
    client = make_client(keys=file)
    for other, key in made.items():
        response = ask(client, method, path, key)
        assert response.status_code == (200 if other == scope else 403), other
    for wrong in (None, "", "wrong", made[scope][:-1], made[scope] + "x"):
        response = ask(client, method, path, wrong)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"


def test_every_other_route_takes_keys_of_its_scope_and_no_others_too(make_client, keys, tmp_path):
    file, made = keys
    client = make_client(keys=file, feedback=tmp_path / "feedback")
    asking = [route for route in client.app.routes if route.needs is not None]
    assert len(asking) > 20
    for route in asking:
        path = re.sub(r"{\w+}", "fake", route.path)
        for scope, key in made.items():
            refused = ask(client, route.method, path, key).status_code in (401, 403)
            assert refused == (scope != route.needs), (route.method, route.path, scope)
        assert ask(client, route.method, path).status_code == 401, route.path


def test_every_route_that_asks_for_no_key_is_known_to(make_client, keys):
    app = make_client(keys=keys[0]).app
    free = {route.path for route in app.routes if route.needs is None}
    probes = {"/v2", "/v2/health/live", "/v2/health/ready", "/ping"}
    assert {path for path in free if not path.startswith(("/health/", "/docs", "/playground"))} == {
        "/",
        "/openapi.json",
        *probes,
    }
    assert all(route.needs == "infer" for route in app.routes if route.method != "GET")


@pytest.mark.parametrize("value", ["Basic {key}", "{key}", "Bearer", "bearer  {key}", "Bearer {key} "])
def test_only_a_bearer_header_presents_a_key(make_client, keys, value):
    file, made = keys
    response = make_client(keys=file).get("/v1/models", headers={"authorization": value.format(key=made["infer"])})
    assert response.status_code == (200 if value.lower().startswith("bearer ") else 401)


def test_trying_out_keys_is_slowed_down_and_the_right_one_still_works(make_client, keys, stopped):
    file, made = keys
    client = make_client(keys=file)
    statuses = [ask(client, "GET", "/v1/models", "wrong").status_code for _ in range(100)]
    tried = int(BAD_KEYS_PER_SECOND * BURST_SECONDS)
    assert statuses == [401] * tried + [429] * (100 - tried)
    assert ask(client, "GET", "/v1/models", made["infer"]).status_code == 200


def test_a_key_over_its_rate_is_told_when_to_come_back(make_client, tmp_path, stopped):
    key = add_key(tmp_path / "keys", "slow", ["infer"], 1)
    client = make_client(keys=tmp_path / "keys")
    statuses = [ask(client, "POST", "/v1/classify", key).status_code for _ in range(4)]
    assert statuses[:2] == [200, 200]
    response = ask(client, "POST", "/v1/classify", key)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert response.json()["error"]["code"] == "rate_limited"


def test_the_texts_of_a_request_count_each(make_client, tmp_path, stopped):
    key = add_key(tmp_path / "keys", "slow", ["infer"], 10 * MANY)
    client = make_client(keys=tmp_path / "keys")
    headers = {"authorization": f"Bearer {key}"}
    # what may be saved up: the rate of two seconds
    for texts, status in ((19 * MANY, 200), (MANY + 1, 429), (MANY, 200), (1, 429)):
        response = client.post("/v1/classify", json={"texts": ["a"] * texts}, headers=headers)
        assert response.status_code == status, texts


def test_the_rate_of_a_key_is_that_of_all_processes_together(make_client, tmp_path, stopped):
    key = add_key(tmp_path / "keys", "shop", ["infer"], 4)
    client = make_client(keys=tmp_path / "keys", workers=4)
    responses = [ask(client, "POST", "/v1/classify", key) for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 429, 429]
    assert "4 texts a second" in responses[-1].json()["error"]["message"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:8000", 200), ("LOCALHOST:1", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("evil.example:8000", 421), ("", 421),
        ("localhost:8000:9", 421), ("evil@localhost", 421),
    ],
)  # fmt: skip
def test_on_loopback_only_local_names_are_answered(make_client, host, status):
    client = make_client(hosts="")
    assert client.get("/v1/models", headers={"host": host}).status_code == status


@pytest.mark.parametrize("hosts", ["", "localhost"])
@pytest.mark.parametrize("path", ["/v1/models", "/health/live"])
def test_two_host_headers_are_one_too_many(make_client, hosts, path):
    client = make_client(hosts=hosts, host="0.0.0.0")
    response = client.get(path, headers=[("host", "localhost"), ("host", "localhost")])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "The request has several Host headers; send one."


def test_names_can_be_listed(make_client):
    client = make_client(hosts="api.example, other.example")
    assert client.get("/v1/models", headers={"host": "api.example:443"}).status_code == 200
    assert client.get("/v1/models", headers={"host": "localhost"}).status_code == 421


def test_a_service_for_others_answers_to_any_name_unless_some_are_listed(make_client):
    client = make_client(hosts="", host="0.0.0.0")
    assert client.get("/v1/models", headers={"host": "anything"}).status_code == 200
