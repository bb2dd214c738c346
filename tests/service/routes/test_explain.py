from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf, nan

import pytest

from service.pace import Pace
from service.schemas import ExplainResponse

from ...patience import PATIENCE
from ..conftest import ROOT
from ..strictly import strictly

JSON = {"content-type": "application/json"}


def test_the_ngrams_behind_the_label_come_with_their_place(client):
    response = client.post("/v1/explain", json={"text": "a cherry"})
    assert response.status_code == 200
    strictly(ExplainResponse, response)
    (explanation,) = response.json()["explanations"]
    ngram = explanation["ngrams"][0]
    assert (explanation["label"], ngram["start"], ngram["end"], ngram["text"]) == ("cherry", 2, 8, "cherry")
    assert explanation["bias"] + ngram["contribution"] + explanation["rest"] == explanation["logit"]


def test_a_label_can_be_named_and_texts_are_answered_in_order(client):
    body = client.post("/v1/explain", json={"texts": ["a", "banana", "boom"], "label": "apple", "top_n": 0}).json()
    assert [one.get("label", "failed") for one in body["explanations"]] == ["apple", "apple", "failed"]


def test_a_text_on_which_the_model_fails_alone_is_an_error(client):
    assert client.post("/v1/explain", json={"text": "boom"}).status_code == 500


@pytest.mark.parametrize("wrong", [{"logit": inf}, {"logit": nan}, {"probability": nan}])
def test_an_explanation_of_what_is_no_number_is_a_failure(make_client, classifier, monkeypatch, wrong):
    usual = classifier._explain_one

    def explain_one(text, label):
        return replace(usual(text, label), **wrong) if "cherry" in text else usual(text, label)

    monkeypatch.setattr(classifier, "_explain_one", explain_one)
    client = make_client()
    assert client.post("/v1/explain", json={"text": "cherry"}).status_code == 500
    first, second = client.post("/v1/explain", json={"texts": ["cherry", "apple"]}).json()["explanations"]
    assert first["error"]["code"] == "internal_error"
    assert second["label"] == "apple"


def test_explanations_that_take_long_are_refused_without_keeping_anybody_from_classifying(
    make_client, classifier, monkeypatch
):
    """Each may be hundreds of runs of the model."""
    gate, begun = threading.Event(), threading.Event()
    explain = classifier.explain

    def slowly(texts, **options):
        begun.set()
        time.sleep(0.02)
        if "wait" in texts:
            gate.wait(PATIENCE)
        return explain(["a"] * len(texts), **options)

    monkeypatch.setattr(classifier, "explain", slowly)
    client = make_client(max_wait_ms=10)
    assert client.post("/v1/explain", json={"text": "a"}).status_code == 200
    begun.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/v1/explain", json={"text": "wait"})
        assert begun.wait(PATIENCE)
        refused = client.post("/v1/explain", json={"text": "a"})
        both = client.post("/v1/classify", json={"text": "a", "explain": True})
        classified = client.post("/v1/classify", json={"text": "a"})
        gate.set()
        assert waiting.result(PATIENCE).status_code == 200
    assert (refused.status_code, both.status_code, classified.status_code) == (429, 429, 200)
    assert int(refused.headers["retry-after"]) >= 1


def test_before_the_first_explanation_many_at_once_are_not_all_let_in(make_client, classifier, monkeypatch):
    """What one costs is not known then; it is taken to be as many runs of the model as the text has words."""
    gate, begun = threading.Event(), threading.Event()

    def wait(texts, **options):
        begun.set()
        gate.wait(PATIENCE)
        return [classifier._explain_one("a", None) for _ in texts]

    def learn(pace, cost, seconds):
        pace.known, pace.per_cost = True, 1e-5

    monkeypatch.setattr(Pace, "learn", learn)  # what is measured hangs on what else runs
    monkeypatch.setattr(classifier, "explain", wait)
    client = make_client(max_wait_ms=100)
    text = "a word " * 500
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/v1/explain", json={"text": text})
        assert begun.wait(PATIENCE)
        assert client.post("/v1/explain", json={"text": text}).status_code == 429
        gate.set()
        assert first.result(PATIENCE).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[]", 422), (b"{}", 422), (b'{"text": 1}', 422), (b'{"text": "a", "texts": ["b"]}', 422),
        (b'{"text": "a", "label": "plum"}', 422), (b'{"text": "a", "label": 1}', 422),
        (b'{"text": "a", "top_n": -1}', 422), (b'{"text": "a", "top_n": 1001}', 422),
        (b'{"text": "a", "top_k": 1}', 422), (b'{"text": "a", "model": "x"}', 404),
        (b'{"text": "a", "method": "lime"}', 422), (b'{"text": "a", "method": 1}', 422),
        (b'{"text": "a", "model": null}', 422), (b'{"text": "a", "text": "b"}', 400), (b'{"texts": []}', 422),
    ],
)  # fmt: skip
def test_a_body_that_is_not_a_request_is_refused(client, body, status):
    assert client.post("/v1/explain", content=body, headers=JSON).status_code == status


def test_a_method_may_be_asked_for_where_it_costs_little(client):
    def method(**body):
        response = client.post("/v1/explain", json={"text": "a plum", **body})
        return response.json()["explanations"][0]["method"] if response.is_success else response.json()["error"]

    assert (method(), method(method=None), method(method="occlusion")) == ("ngrams", "ngrams", "occlusion")
    # whatever answers here is no torch, which a question must not load
    refused = method(method="grad_cam")["message"]
    assert refused == "This model is not explained by 'grad_cam' here; method is one of ngrams, occlusion."


@pytest.mark.parametrize(
    ("texts", "top_n", "status"), [(10, 1000, 200), (11, 1000, 422), (64, 156, 200), (64, 157, 422)]
)
def test_the_ngrams_of_all_texts_together_are_bounded(client, texts, top_n, status):
    response = client.post("/v1/explain", json={"texts": ["a"] * texts, "top_n": top_n})
    assert response.status_code == status


def test_the_model_that_ships_explains_exactly(make_client):
    from textcnn import TextClassifier

    real = TextClassifier.load(ROOT / "models" / "support", threads=1)
    client = make_client(load=lambda path: real)
    text = "hello, where is my parcel"
    response = client.post("/v1/explain", json={"text": text, "top_n": 1000})
    strictly(ExplainResponse, response)
    (explanation,) = response.json()["explanations"]
    total = explanation["bias"] + sum(ngram["contribution"] for ngram in explanation["ngrams"]) + explanation["rest"]
    assert total == pytest.approx(explanation["logit"], abs=1e-4)
    assert all(ngram["cut"] or text[ngram["start"] : ngram["end"]] == ngram["text"] for ngram in explanation["ngrams"])
