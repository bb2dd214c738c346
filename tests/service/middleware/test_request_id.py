from __future__ import annotations

import re

import pytest


def test_a_harmless_request_id_is_kept_in_header_and_body(client):
    response = client.post("/v1/classify", json={"text": "a"}, headers={"X-Request-ID": "job-7.line_12"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "job-7.line_12"


@pytest.mark.parametrize("given", [None, "", "a b", "a\tb", "x" * 65, "<script>", "é".encode(), 'a"b'])
def test_any_other_is_replaced_by_a_new_one(client, given):
    headers = {} if given is None else {"X-Request-ID": given}
    first, second = (client.get("/nowhere", headers=headers) for _ in range(2))
    request_id = first.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert first.json()["error"]["request_id"] == request_id
    assert second.headers["x-request-id"] != request_id
