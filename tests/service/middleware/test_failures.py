from __future__ import annotations

import logging

import pytest


def test_an_unexpected_error_gives_the_constant_body_and_a_log_line_without_the_text(client, caplog):
    response = client.post("/v1/classify", json={"text": "boom"}, headers={"X-Request-ID": "r-1"})
    assert response.status_code == 500
    error = response.json()["error"]
    assert (error["code"], error["request_id"]) == ("internal_error", "r-1")
    assert "boom" not in response.text and "RuntimeError" not in response.text
    (record,) = (entry for entry in caplog.records if entry.name == "service.middleware.failures")
    assert record.fields["error"] == "builtins.RuntimeError"
    assert record.fields["stack"][-1].endswith("_classify_one")
    assert "boom" not in caplog.text


def test_the_message_is_logged_when_debugging(client, caplog):
    with caplog.at_level(logging.DEBUG, logger="service"):
        client.post("/v1/classify", json={"text": "boom"})
    assert "cannot classify boom" in caplog.text


@pytest.mark.anyio
async def test_half_an_answer_breaks_the_connection(monkeypatch, make_client):
    app = make_client().app
    sent = []

    class Half:
        headers: list = []
        status = 200

        async def __call__(self, send, send_whole=None):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("too late")

    async def broken(call):
        return Half()

    async def send(message):
        sent.append(message)

    monkeypatch.setattr(app, "_answer", broken)
    with pytest.raises(RuntimeError):
        await app({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send)
    assert len(sent) == 1
