from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

from .conftest import FakeClassifier


class Contrary(FakeClassifier):
    """Finds bananas in cherries, and fails on a text that says so."""

    def _classify_one(self, text, top_k):
        return super()._classify_one("boom" if text == "fail" else text.replace("cherry", "banana"), top_k)


@pytest.fixture
def client(make_model, tmp_path):
    for version in ("1", "2"):
        make_model(f"models/fake/{version}")
    (tmp_path / "models" / "serving.json").write_text('{"fake": {"aliases": {"live": "1"}, "shadow": "2"}}')
    settings = Settings(models=tmp_path / "models", model="fake", hosts="testserver")
    app = create_app(settings, load=lambda path: Contrary() if path.name == "2" else FakeClassifier())
    with TestClient(app) as client:
        while client.get("/health/ready").status_code != 200:
            time.sleep(0.005)
        yield client


def test_a_shadow_answers_unseen_and_only_its_agreement_is_counted(client):
    body = client.post("/v1/classify", json={"texts": ["cherry", "banana", "cherry", "fail"]}).json()
    assert body["version"] == "1"
    assert [prediction["label"] for prediction in body["predictions"]] == ["cherry", "banana", "cherry", "apple"]
    lines = client.get("/metrics").text.splitlines()
    assert 'textcnn_shadow_texts_total{agreed="no",model="fake",version="2"} 2.0' in lines
    assert 'textcnn_shadow_texts_total{agreed="yes",model="fake",version="2"} 1.0' in lines
    assert 'textcnn_texts_total{model="fake",version="2"} 4.0' in lines
