from __future__ import annotations

import json

import httpx
import pytest

from textcnn.types import LabelScore, Prediction

NDJSON = {"content-type": "application/x-ndjson"}
PATH = "/v1/classify/stream"


def ask(client, content, **query):
    response = client.post(PATH, content=content, headers=NDJSON, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_each_line_is_answered_in_its_place(client):
    lines = ask(client, b'"a cherry"\n\n{"text": "banana", "id": "x"}\r\n{"id": [1], "text": "apple"}')
    assert [(line["line"], line.get("id"), line["label"]) for line in lines] == [
        (1, None, "cherry"),
        (3, "x", "banana"),
        (4, [1], "apple"),
    ]
    assert lines[0]["top"] == [{"label": "cherry", "probability": 0.5}]


BEST = (LabelScore("cherry", 0.5),)
HEADS = {
    "one label": Prediction(BEST),
    "many labels": Prediction(BEST, labels=BEST),
    "no label": Prediction(BEST, labels=()),
    "a tree": Prediction(BEST, levels=(LabelScore("fruit", 0.75),)),
    "abstained": Prediction(BEST, abstained=True),
    "tasks": Prediction(
        (LabelScore("angry", 0.5),), tasks={"mood": Prediction((LabelScore("angry", 0.5),)), "topic": Prediction(BEST)}
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_text_is_answered_alike_as_a_string_as_an_object_and_alone(client, classifier, monkeypatch, head):
    monkeypatch.setattr(classifier, "classify", lambda texts, *, top_k=1: [HEADS[head]] * len(texts))
    alone = client.post("/v1/classify", json={"text": "a"}).json()["predictions"]
    assert ask(client, b'"a"') == ask(client, b'{"text": "a"}') == [{"line": 1, **alone[0]}]


def test_a_line_that_cannot_be_used_gets_an_error_and_the_rest_go_on(make_client):
    lines = [
        b'"apple"',
        b"{",
        b"3",
        b'{"text": 1, "id": 7}',
        b'{"texts": []}',
        b'{"text": "a", "text": "b"}',
        b'"\\ud800"',
        b'"boom"',
        b"\xff",
        b'"xyxyxyxyxyx"',
    ]
    answers = ask(make_client(max_text_chars=10), b"\n".join(lines) + b'\n"cherry"\n')
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [
        None, "invalid_json", "invalid_request", "invalid_request", "invalid_request", "invalid_json",
        "invalid_json", "internal_error",
        "invalid_json", "invalid_request", None,
    ]  # fmt: skip
    assert answers[3]["id"] == 7
    assert answers[-1]["label"] == "cherry"


def test_a_line_without_end_is_given_up_and_the_next_is_answered(launch):
    def pieces():
        for _ in range(100):
            yield b"x" * 1000
        yield b'\n"cherry"\n'

    with httpx.Client(base_url=launch("--max-text-chars", "10").wait_until_ready().url) as client:
        answers = ask(client, pieces())
    assert [answer["line"] for answer in answers] == [1, 2]
    assert "bytes" in answers[0]["error"]["message"]
    assert answers[1]["label"] == "cherry"


def test_lines_may_be_cut_anywhere(client):
    content = ("\n".join(json.dumps(f"cherry {number} é") for number in range(50)) + "\n").encode()
    answers = ask(client, (content[start : start + 7] for start in range(0, len(content), 7)))
    assert [answer["line"] for answer in answers] == list(range(1, 51))


def test_options_are_in_the_query(client):
    assert len(ask(client, b'"a"', top_k=2)[0]["top"]) == 2
    assert ask(client, b'"a"', threshold=0.9)[0]["label"] is None
    assert ask(client, b'"a"', model="fake/3")[0]["label"] == "apple"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("top_k=0", 422), ("top_k=x", 422), ("top_k=4", 422), ("top_k=", 422), ("threshold=2", 422),
        ("threshold=nan", 422), ("model=none", 404), ("more=1", 422), ("top_k=1&top_k=2", 422), ("%ff=%ff", 422),
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_used_is_refused_before_anything_is_read(client, query, status):
    assert client.post(f"{PATH}?{query}", content=b'"a"', headers=NDJSON).status_code == status


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
def test_only_ndjson_is_read(client, media_type):
    assert client.post(PATH, content=b'"a"', headers={"content-type": media_type}).status_code == 415


def test_nothing_in_gives_nothing_out(client):
    assert ask(client, b"") == ask(client, b"\n\n") == []


def test_a_stream_longer_than_any_body_is_answered_while_it_is_sent(launch):
    """On a real server: a client that does not read yet must not fill the memory of either."""
    server = launch("--max-body-bytes", "1000").wait_until_ready()
    count = 20_000

    def pieces():
        for number in range(0, count, 100):
            yield "".join(f'{{"text": "banana", "id": {number + place}}}\n' for place in range(100)).encode()

    with httpx.stream("POST", server.url + PATH, content=pieces(), headers=NDJSON, timeout=30) as response:
        ids = [json.loads(line)["id"] for line in response.iter_lines()]
    assert ids == list(range(count))
