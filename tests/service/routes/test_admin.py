from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.keys import add_key
from service.settings import Settings

from ...patience import until

BASE = "http://localhost:9000"
HOSTILE = [
    "..", "%2e%2e", "%252e%252e", "..%2f..%2fetc", "..%5c..%5cetc", "m;x=1", "m%23x", "m%00", ".hidden", "~root",
    "http:%2f%2fevil", "$HOME", "a" * 100,
]  # fmt: skip


@pytest.fixture
def admin(make_model, tmp_path, classifier):
    for version in ("1", "2", "3"):
        make_model(f"models/fake/{version}")
    app = create_app(Settings(models=tmp_path / "models", model="fake/3"), load=lambda path: classifier)

    async def both(scope, receive, send):
        """One server for both, so that they share an event loop as they do in life."""
        await (app.admin if scope.get("path", "").startswith("/admin") else app)(scope, receive, send)

    with TestClient(both, base_url=BASE) as client:
        until(lambda: client.get("/health/ready").status_code == 200, "the fake model")
        yield client


def test_models_are_listed_with_what_is_on_disk_and_loaded(admin):
    body = admin.get("/admin/models").json()
    assert body == {
        "models": {
            "fake": {
                "on_disk": ["1", "2", "3"],
                "loaded": ["3"],
                "aliases": {"live": "3"},
                "weights": {},
                "shadow": None,
            }
        }
    }


def test_a_version_is_activated_and_rolled_back(admin):
    response = admin.post("/admin/models/fake/activate", json={"version": "2"})
    assert response.status_code == 200
    assert response.json()["aliases"] == {"live": "2", "previous": "3"}
    assert admin.post("/v1/classify", json={"text": "a"}).json()["version"] == "2"
    assert admin.post("/admin/models/fake/rollback").json()["aliases"]["live"] == "3"
    assert admin.post("/v1/classify", json={"text": "a"}).json()["version"] == "3"


def test_a_plan_is_set_whole(admin):
    plan = {"aliases": {"live": "1", "next": "2"}, "weights": {}, "shadow": None}
    assert admin.put("/admin/models/fake/plan", json=plan).json() == {"name": "fake", **plan}
    assert admin.post("/v1/classify", json={"text": "a", "model": "fake/next"}).json()["version"] == "2"
    assert admin.post("/v1/classify", json={"text": "a", "model": "fake/3"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/admin/models/fake/activate", {"version": "9"}, 404),
        ("POST", "/admin/models/fake/activate", {"version": "../3"}, 422),
        ("POST", "/admin/models/fake/activate", {"version": 2}, 422),
        ("POST", "/admin/models/fake/activate", {"path": "/tmp/x"}, 422),
        ("POST", "/admin/models/fake/activate", {"version": "2", "url": "http://evil"}, 422),
        ("POST", "/admin/models/none/activate", {"version": "2"}, 404),
        ("POST", "/admin/models/fake/rollback", {}, 409),
        ("PUT", "/admin/models/fake/plan", {}, 409),
        ("PUT", "/admin/models/fake/plan", {"aliases": {"live": "9"}}, 404),
        ("PUT", "/admin/models/fake/plan", {"aliases": {"live": "3"}, "weights": {"3": 0}}, 409),
        ("PUT", "/admin/models/fake/plan", {"aliases": {"live": "$HOME"}}, 422),
        ("PUT", "/admin/models/fake/plan", {"aliases": {"live": "2", "1": "3"}}, 422),
        ("PUT", "/admin/models/fake/plan", {"aliases": {"live": "3"}, "more": 1}, 422),
        ("DELETE", "/admin/models/fake/plan", None, 405),
    ],
)
def test_what_cannot_be_done_changes_nothing(admin, method, path, body, status):
    response = admin.request(method, path, json=body)
    assert response.status_code == status, response.text
    assert admin.post("/v1/classify", json={"text": "a"}).json()["version"] == "3"


def test_what_is_wrong_is_said_as_an_operator_speaks(admin):
    assert "GET /admin/models." in admin.get("/admin/nothing").json()["error"]["message"]
    assert "POST /v1/classify." in admin.get("/nothing").json()["error"]["message"]
    for method, path in (("POST", "activate"), ("POST", "rollback"), ("PUT", "plan")):
        answer = admin.request(
            method, f"/admin/models/none/{path}", json={"version": "3"} if path == "activate" else {}
        )
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "There is no model 'none' on disk.")
    for body in ("[]", "null", '"3"'):
        answer = admin.post(
            "/admin/models/fake/activate", content=body, headers={"content-type": "application/json"}
        ).json()
        assert answer["error"]["message"] == "The body must be a JSON object."


@pytest.mark.parametrize("body", [b'{"version": "1", "version": "2"}', b'{"version": '])
def test_what_is_not_json_or_gives_a_field_twice_is_refused(admin, body):
    response = admin.post("/admin/models/fake/activate", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_the_models_folder(admin, name):
    for path in (f"/admin/models/{name}/activate", f"/admin/models/{name}/rollback"):
        assert admin.post(path, json={"version": "1"}).status_code == 404


def test_every_admin_route_needs_its_key_with_every_method(make_client, tmp_path):
    keys = tmp_path / "keys"
    infer, admin = add_key(keys, "shop", ["infer"], 0), add_key(keys, "ops", ["admin"], 0)
    client = TestClient(make_client(keys=keys).app.admin, base_url=BASE)
    for route in client.app.routes:
        path = route.path.replace("{name}", "fake")
        for key, status in ((None, 401), (infer, 403)):
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            for method in {route.method, "DELETE", "PATCH", "OPTIONS"}:
                response = client.request(method, path, headers=headers)
                assert response.status_code in (status, 405), (method, path)
        assert client.request(route.method, path, headers={"authorization": f"Bearer {admin}"}).status_code != 401


def test_the_admin_routes_are_not_among_the_public_ones(make_client):
    assert make_client().get("/admin/models").status_code == 404


@pytest.mark.parametrize("settings", [{}, {"host": "0.0.0.0", "hosts": ""}, {"hosts": "testserver, evil.example"}])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80"])
def test_a_web_page_elsewhere_cannot_reach_them_by_a_name_of_its_own(make_client, settings, host):
    client = TestClient(make_client(wait=False, **settings).app.admin)
    assert client.post("/admin/models/fake/rollback", headers={"host": host}).status_code == 421
    assert client.get("/admin/models", headers={"host": "localhost:9000"}).status_code == 200


def test_beyond_this_machine_where_a_key_is_asked_for_they_go_by_any_name(make_client):
    client = TestClient(make_client(admin_host="0.0.0.0").app.admin)
    assert client.get("/admin/models", headers={"host": "ops.example"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example", "content-type": "text/plain"}, 403),
        ({"origin": "http://evil.example", "content-type": "application/json"}, 403),
        ({"origin": "http://localhost:3000"}, 403), ({"origin": "null"}, 403), ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403), ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": BASE, "sec-fetch-site": "same-origin"}, 200), ({"content-type": "application/json"}, 200),
    ],
)  # fmt: skip
def test_a_web_page_elsewhere_cannot_send_to_them(admin, headers, status):
    admin.post("/admin/models/fake/activate", json={"version": "2"})
    assert admin.post("/admin/models/fake/rollback", headers=headers).status_code == status


def test_a_model_whose_name_no_plan_can_have_is_told_to_be_renamed(make_model, tmp_path, classifier):
    make_model("models/Tickets (Mai)/1")
    app = create_app(Settings(models=tmp_path / "models"), load=lambda path: classifier)

    async def both(scope, receive, send):
        await (app.admin if scope.get("path", "").startswith("/admin") else app)(scope, receive, send)

    with TestClient(both, base_url=BASE) as client:
        until(lambda: client.get("/health/ready").status_code == 200, "the model")
        answer = client.post("/admin/models/Tickets%20(Mai)/activate", json={"version": "1"})
    assert answer.status_code == 422
    assert "Rename its folder" in answer.json()["error"]["message"]
