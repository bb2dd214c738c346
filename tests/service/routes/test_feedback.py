from __future__ import annotations

import errno
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.schemas import FeedbackResponse

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
