from __future__ import annotations

import json
import time

import numpy as np
import pytest

from service.keys import add_key
from service.metrics import Metrics, VersionMetrics
from service.routes.classify import MANY
from textcnn.types import LabelScore, Prediction, TokenBatch

from ...patience import PATIENCE, until
from ..conftest import FakeClassifier


def series(client) -> list[str]:
    return [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]


def test_requests_are_counted_by_route_template_and_status(client):
    client.post("/v1/classify", json={"texts": ["a", "b"]})
    client.post("/v1/classify", json={})
    client.get("/v1/classify")
    lines = series(client)
    assert 'textcnn_http_requests_total{method="POST",route="/v1/classify",status="200"} 1.0' in lines
    assert 'textcnn_http_requests_total{method="POST",route="/v1/classify",status="422"} 1.0' in lines
    assert 'textcnn_http_requests_total{method="GET",route="/v1/classify",status="405"} 1.0' in lines
    assert 'textcnn_http_request_seconds_count{route="/v1/classify"} 3.0' in lines
    assert 'textcnn_texts_total{model="fake",version="3"} 2.0' in lines
    assert 'textcnn_model_info{engine="fake",model="fake",version="3"} 1.0' in lines


def test_no_path_or_method_of_a_client_adds_a_series(client):
    series(client)  # is a request itself
    client.get("/nowhere")
    client.request("BREW", "/nowhere")
    client.request("BREW", "/v1/classify")
    before = len(series(client))
    for number in range(20):
        client.get(f"/random/{number}")
        client.request(f"BREW{number}", f"/{number}")
        client.request(f"BREW{number}", "/v1/classify")
    assert len(series(client)) == before


NO_TOKENS = TokenBatch(np.empty(0, np.int32), np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("work", "path", "content"),
    [
        ("classify", "/v1/classify", '{"text": "a"}'), ("explain", "/v1/explain", '{"text": "a"}'),
        ("classify", "/v1/classify", json.dumps({"texts": ["a"] * MANY})),
        ("classify", "/predict", '{"inputs": "a"}'), ("stream", "/v1/classify/stream", '"a"\n'),
        ("stream", "/v1/classify/stream?threshold=0", '"a"\n'),
    ],
)  # fmt: skip
def test_the_time_of_each_kind_of_work_is_split_into_waiting_tokenizer_and_model(
    make_client, classifier, monkeypatch, work, path, content
):
    client = make_client()

    def telling(method):
        def work(*arguments, **options):
            time.sleep(0.01)
            for _ in range(2):
                classifier.on_tokenized(0.002, NO_TOKENS)
            return method(*arguments, **options)

        return work

    def familiarity(texts):  # beside the work, and part of none
        classifier.on_tokenized(100.0, NO_TOKENS)
        return [0.5 for _ in texts]

    # the fake's own calls from one to the other are not to be told twice
    plain = FakeClassifier()
    for name in ("classify", "rank", "explain"):
        monkeypatch.setattr(classifier, name, telling(getattr(plain, name)))
    monkeypatch.setattr(classifier, "familiarity", familiarity)
    media_type = "application/x-ndjson" if work == "stream" else "application/json"
    assert client.post(path, content=content, headers={"content-type": media_type}).status_code == 200

    def shown(what: str, kind: str) -> float:
        name = f'textcnn_{what}{{model="fake",version="3",work="{kind}"}}'
        return float(next(line for line in series(client) if line.startswith(name)).split()[-1])

    for kind in ("classify", "explain", "stream"):
        for what in ("queue_seconds_count", "tokenize_seconds_count", "infer_seconds_count"):
            assert shown(what, kind) == (1 if kind == work else 0), (what, kind)
    assert shown("tokenize_seconds_sum", work) == pytest.approx(0.004)
    assert 0.006 < shown("infer_seconds_sum", work)  # of the 0.01 s and more that it took


def test_how_familiar_texts_are_is_sampled(client, monkeypatch):
    monkeypatch.setattr("service.deployment.SAMPLE_SECONDS", PATIENCE)

    def shown(name: str) -> float:
        return float(next(line for line in series(client) if line.startswith(name)).split()[-1])

    client.post("/v1/classify", json={"texts": ["a"] * 100})
    until(lambda: shown("textcnn_familiarity_count"), "the first sample")
    assert shown("textcnn_familiarity_count") == 16
    assert shown('textcnn_familiarity_bucket{le="0.3"') == 0
    assert shown('textcnn_familiarity_bucket{le="0.4"') == 16
    client.post("/v1/classify", json={"texts": ["a"] * 100})
    assert shown("textcnn_familiarity_count") == 16  # now and then is enough


def test_a_model_that_knows_no_familiarity_answers_all_the_same(client):
    for _ in range(3):
        assert client.post("/v1/classify", json={"text": "unvalidated"}).status_code == 200


def test_a_failure_is_counted_as_500(client):
    client.post("/v1/classify", json={"text": "boom"})
    assert 'textcnn_http_requests_total{method="POST",route="/v1/classify",status="500"} 1.0' in series(client)


def test_two_apps_in_one_process_count_apart(make_client):
    first, second = make_client(), make_client()
    first.post("/v1/classify", json={"text": "a"})
    assert 'textcnn_texts_total{model="fake",version="3"} 1.0' in series(first)
    assert 'textcnn_texts_total{model="fake",version="3"} 0.0' in series(second)


def test_refusals_are_counted_by_their_reason_in_every_format(make_client, tmp_path, monkeypatch):
    monkeypatch.setattr("service.admission.monotonic", lambda: 0.0)  # the rate does not fill up again
    key = add_key(tmp_path / "keys", "slow", ["infer", "metrics"], 1)
    client = make_client(keys=tmp_path / "keys")
    client.headers["authorization"] = f"Bearer {key}"
    for _ in range(3):
        client.post("/predict", json={"inputs": "a"})
    assert 'textcnn_rejections_total{reason="rate_limited"} 1.0' in series(client)


def scores(**by_label):
    return tuple(LabelScore(label, probability) for label, probability in by_label.items())


def test_what_a_text_was_given_is_counted_for_every_kind_of_answer():
    metrics = Metrics()
    one = scores(a=0.75, b=0.25)
    VersionMetrics(metrics, "one", "1", ["a", "b"]).predicted(
        [Prediction(one), Prediction(one, abstained=True), Prediction(one[::-1])]
    )
    VersionMetrics(metrics, "many", "1", ["a", "b"]).predicted(
        [Prediction(one, labels=one), Prediction(one, labels=one[:1]), Prediction(one, labels=())]
    )
    tasks = {"x": Prediction(one), "y": Prediction(one[::-1])}
    VersionMetrics(metrics, "tasks", "1", ["x=a", "x=b", "y=a", "y=b"]).predicted([Prediction(one, tasks=tasks)])
    shown = metrics.exposition().decode().splitlines()
    for model, labels in {"one": "a b", "many": "a a b", "tasks": "x=a y=b"}.items():
        for label in set(labels.split()):
            count = float(labels.split().count(label))
            assert f'textcnn_predictions_total{{label="{label}",model="{model}",version="1"}} {count}' in shown
    assert 'textcnn_predictions_total{label="x=b",model="tasks",version="1"} 0.0' in shown
    assert 'textcnn_unlabelled_texts_total{model="one",reason="abstained",version="1"} 1.0' in shown
    assert 'textcnn_unlabelled_texts_total{model="many",reason="no_label",version="1"} 1.0' in shown
    assert 'textcnn_confidence_count{model="one",version="1"} 3.0' in shown
    assert 'textcnn_confidence_bucket{le="0.75",model="tasks",version="1"} 2.0' in shown
