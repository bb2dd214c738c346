from __future__ import annotations

import logging
import threading

import pytest

from service.app import create_app
from service.settings import Settings
from textcnn.errors import ArtifactError

from ..patience import PATIENCE, until


def test_an_app_without_a_model_cannot_be_made(tmp_path):
    with pytest.raises(ArtifactError, match="no model found"):
        create_app(Settings(models=tmp_path))


def test_the_service_is_live_but_not_ready_while_the_model_loads(make_client, classifier):
    loaded = threading.Event()

    def load(path):
        assert loaded.wait(PATIENCE)
        return classifier

    client = make_client(load=load, wait=False)
    assert client.get("/health/live").status_code == 200
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "not_ready"
    assert client.post("/v1/classify", json={"text": "a"}).status_code == 503
    assert client.get("/health/startup").status_code == 503
    assert client.get("/v1/models").json() == {"default": "fake", "models": []}
    loaded.set()
    until(lambda: client.get("/health/ready").status_code == 200, "the fake model")
    assert client.post("/v1/classify", json={"text": "a"}).status_code == 200


def test_a_model_that_cannot_be_loaded_is_logged_and_reported(make_model, tmp_path, caplog):
    from starlette.testclient import TestClient

    make_model("fake/1")
    failures: list[Exception] = []
    reported = threading.Event()

    def load(path):
        raise ArtifactError("weights are damaged")

    def note(error: Exception) -> None:
        failures.append(error)
        reported.set()

    app = create_app(Settings(models=tmp_path), load=load, on_load_failure=note)
    with caplog.at_level(logging.CRITICAL), TestClient(app) as client:
        assert reported.wait(PATIENCE)
        assert client.get("/health/ready").status_code == 503
    assert [str(failure) for failure in failures] == ["weights are damaged"]
    assert "weights are damaged" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_service_that_ends_while_it_loads_closes_its_registry(make_model, tmp_path, classifier, monkeypatch):
    from starlette.testclient import TestClient

    make_model("fake/1")
    begun, closed = threading.Event(), threading.Event()
    monkeypatch.setattr("service.app.ModelRegistry.close", lambda registry: closed.set())

    def load(path):
        begun.set()
        assert closed.wait(PATIENCE)
        return classifier

    with TestClient(create_app(Settings(models=tmp_path), load=load)):
        assert begun.wait(PATIENCE)
    assert closed.is_set()


def test_a_slow_model_does_not_keep_other_paths_waiting(make_client, classifier):
    classifier.slow = True
    client = make_client()
    answers = []
    slow = threading.Thread(target=lambda: answers.append(client.post("/v1/classify", json={"text": "wait"})))
    slow.start()
    assert classifier.begun.wait(PATIENCE)
    assert client.get("/health/live").status_code == 200
    assert not answers
    classifier.gate.set()
    slow.join(60)
    assert answers[0].status_code == 200
