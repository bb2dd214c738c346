from __future__ import annotations

import re

from service import errors
from service.errors import CODES, TABLE, RequestError
from service.schemas import ERROR_KINDS


def test_every_request_error_has_a_kind_and_every_kind_is_documented():
    assert set(TABLE) == set(RequestError.__subclasses__())
    assert {*CODES.values(), "internal_error"} == set(ERROR_KINDS)
    for error, (status, _) in TABLE.items():
        assert re.search(rf"{error.__name__} +{status} ", errors.__doc__)


def test_an_unknown_path_gets_a_json_error(client):
    response = client.get("/no/such/path")
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "not_found"
    assert error["request_id"] == response.headers["x-request-id"]


def test_a_wrong_method_gets_a_json_error_that_says_which_is_right(client):
    response = client.get("/v1/classify")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert "POST" in response.json()["error"]["message"]


def test_a_trailing_slash_is_not_redirected(client):
    response = client.post("/v1/classify/", json={"text": "a"}, follow_redirects=False)
    assert response.status_code == 404
    assert "location" not in response.headers
