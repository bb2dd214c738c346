from __future__ import annotations

import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.keys import add_key
from service.schemas import FeedbackResponse

from ...patience import PATIENCE
from ..strictly import strictly


@pytest.fixture
def client(make_client, tmp_path):
    return make_client(feedback=tmp_path / "feedback", max_text_chars=20)


def kept(tmp_path):
    files = sorted((tmp_path / "feedback").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_what_was_acknowledged_is_in_the_file(client, tmp_path):
    response = client.post("/v1/feedback", json={"text": "late again", "label": "delivery", "predicted": "billing"})
    assert response.status_code == 200
    strictly(FeedbackResponse, response)
    (line,) = kept(tmp_path)
    assert (line["text"], line["label"], line["predicted"], line["key"]) == ("late again", "delivery", "billing", None)


def test_many_at_once_all_arrive_whole(client, tmp_path):
    def say(number):
        return client.post("/v1/feedback", json={"text": f"text {number}\n", "label": "a"}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(say, range(200))) == {200}
    assert {line["text"] for line in kept(tmp_path)} == {f"text {number}\n" for number in range(200)}


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": "a"}, {"label": "a"}, {"text": 1, "label": "a"}, {"text": "a", "label": ""}, [], "a",
        {"text": "x" * 21, "label": "a"}, {"text": "a", "label": "a", "more": 1}, {"text": "a", "label": "x" * 1001},
    ],
)  # fmt: skip
def test_what_is_no_feedback_is_refused(client, tmp_path, body):
    assert client.post("/v1/feedback", json=body).status_code == 422
    assert not (tmp_path / "feedback").exists()


def test_a_field_that_is_given_twice_is_refused(client, tmp_path):
    body = b'{"text": "a", "label": "x", "label": "y"}'
    response = client.post("/v1/feedback", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert not (tmp_path / "feedback").exists()


def test_a_disk_that_fails_is_not_acknowledged(make_client, tmp_path):
    (tmp_path / "file").write_text("")
    client = make_client(feedback=tmp_path / "file")
    response = client.post("/v1/feedback", json={"text": "a", "label": "a"})
    assert response.status_code == 507
    assert response.json()["error"]["code"] == "not_kept"
    assert response.json()["error"]["message"] == "Not kept: File exists. Send it again later."
    assert "textcnn_feedback_failures_total 1.0" in client.get("/metrics").text


def test_a_full_disk_is_told_with_its_reason_and_later_lines_are_kept(client, tmp_path, monkeypatch):
    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")

    with monkeypatch.context() as patched:
        patched.setattr("service.feedback.os.write", full)
        response = client.post("/v1/feedback", json={"text": "lost", "label": "a"})
    assert response.status_code == 507
    assert "No space left on device" in response.text and "secret" not in response.text
    assert response.headers["retry-after"] == "60"
    assert list((tmp_path / "feedback").iterdir()) == []
    assert client.post("/v1/feedback", json={"text": "kept", "label": "a"}).status_code == 200
    assert [line["text"] for line in kept(tmp_path)] == ["kept"]


def test_without_a_folder_there_is_no_such_path(make_client):
    assert make_client().post("/v1/feedback", json={"text": "a", "label": "a"}).status_code == 404


def test_what_is_said_of_a_model_that_is_not_here_is_kept_with_the_name_of_who_said_it(make_client, tmp_path):
    key = add_key(tmp_path / "keys", "shop", ["infer"], 0)
    client = make_client(feedback=tmp_path / "feedback", keys=tmp_path / "keys")
    for about in ({"model": "none"}, {"model": "fake", "version": "9"}, {"version": "9"}, {"model": "fake"}):
        body = {"text": "a", "label": "a", **about}
        assert client.post("/v1/feedback", json=body, headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert [(line["key"], line.get("model"), line.get("version")) for line in kept(tmp_path)] == [
        ("shop", "none", None), ("shop", "fake", "9"), ("shop", None, "9"), ("shop", "fake", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [(OSError("a disk without a number"), 507, "Not kept: the disk fails."), (RuntimeError("secret"), 500, "its log")],
)
def test_a_failure_of_another_kind_is_told_without_its_words(client, monkeypatch, failure, status, said):
    def fail(log, lines):
        raise failure

    monkeypatch.setattr("service.feedback.FeedbackLog.append", fail)
    response = client.post("/v1/feedback", json={"text": "a", "label": "a"})
    assert response.status_code == status
    assert said in response.text and "secret" not in response.text


def test_what_a_slow_disk_does_not_keep_up_with_is_refused_and_later_taken_again(client, tmp_path, monkeypatch):
    writing, may_end, fsync = threading.Event(), threading.Event(), os.fsync

    def slowly(handle):
        writing.set()
        assert may_end.wait(PATIENCE)
        fsync(handle)

    def say(text):
        return client.post("/v1/feedback", json={"text": text, "label": "a"})

    monkeypatch.setattr("service.routes.feedback.MOST_WAITING", 1)
    monkeypatch.setattr("service.feedback.os.fsync", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(say, "first")
        assert writing.wait(PATIENCE)
        refused = say("second")
        may_end.set()
        assert first.result().status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert say("third").status_code == 200
    assert [line["text"] for line in kept(tmp_path)] == ["first", "third"]


def test_the_documented_errors_are_those_that_there_are(client):
    documented = client.get("/openapi.json").json()["paths"]["/v1/feedback"]["post"]["responses"]
    assert set(documented) == {"200", "400", "401", "403", "413", "415", "421", "422", "429", "500", "507"}
