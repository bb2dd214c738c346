"""Models that read several texts together, over HTTP: what they are asked, and what the others answer to that."""

from __future__ import annotations

import json
import struct

import httpx
import pytest

from service.client import Client
from service.schemas import ClassifyResponse, ExplainResponse
from textcnn.data.readers import ReadOptions, read_examples
from textcnn.types import split_texts

from .conftest import Pairs

PAIR = ["a banana", "an apple"]
TEXT_PAIR = {"text": PAIR[0], "text_pair": PAIR[1]}
WANTED = 'must be a list, ["...", "..."]: this model reads so many together'
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def pairs(make_client):
    return make_client(load=lambda path: Pairs())


def test_a_text_is_a_list_where_several_are_read_together(pairs):
    response = pairs.post("/v1/classify", json={"text": PAIR})
    ClassifyResponse.model_validate_json(response.content)
    assert response.json()["predictions"][0]["label"] == "apple"
    both = pairs.post("/v1/classify", json={"texts": [PAIR, PAIR[::-1]], "explain": True}).json()["predictions"]
    assert [prediction["label"] for prediction in both] == ["apple", "banana"]
    assert all("explanation" in prediction for prediction in both)
    assert pairs.get("/v1/models").json()["models"][0]["texts_per_record"] == 2


def test_explanations_say_which_text(pairs):
    response = pairs.post("/v1/explain", json={"texts": [PAIR]})
    (found,) = ExplainResponse.model_validate_json(response.content).explanations
    assert [(ngram.segment, ngram.text) for ngram in found.ngrams] == [(1, "apple")]
    assert (
        pairs.post("/v1/explain", json={"text": PAIR, "label": "cherry"}).json()["explanations"][0]["label"] == "cherry"
    )


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"text": "one"}, "text "),
        ({"text": ["one"]}, "text "),
        ({"text": ["one", "two", "three"]}, "text "),
        ({"texts": [PAIR, "two"]}, "texts[1] "),
        ({"texts": ["two"]}, "texts[0] "),
    ],
)
@pytest.mark.parametrize("path", ["/v1/classify", "/v1/explain"])
def test_another_number_of_texts_is_refused(pairs, path, body, where):
    response = pairs.post(path, json=body)
    assert response.status_code == 422
    assert response.json()["error"]["message"].startswith(where + WANTED)


@pytest.mark.parametrize("text", [[], ["a", 3], [["a", "b"], "c"], {"text": "a", "text_pair": "b"}, None])
def test_what_is_no_list_of_strings_is_refused(pairs, text):
    response = pairs.post("/v1/classify", json={"text": text})
    assert response.status_code == 422
    assert response.json()["error"]["message"] == "text must be a string."


def test_the_limit_is_that_of_all_texts_together(make_client):
    client = make_client(load=lambda path: Pairs(), max_text_chars=10)
    assert client.post("/v1/classify", json={"text": ["12345", "12345"]}).status_code == 200
    refused = client.post("/v1/classify", json={"text": ["12345", "123456"]})
    assert refused.json()["error"]["message"] == "text has 11 characters; at most 10."


def test_a_field_given_twice_is_seen_beside_lists_too(pairs):
    body = '{"text": ["a", "b"], "top_k": 1, "top_k": 2}'
    response = pairs.post("/v1/classify", content=body, headers={"content-type": "application/json"})
    assert response.json()["error"]["message"] == "The body gives a field twice."


def test_a_separator_inside_a_text_makes_no_third(pairs):
    assert pairs.post("/v1/classify", json={"text": ["a\x1fbanana", "a\x1fcherry"]}).status_code == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [({"texts": ["a", PAIR]}, "texts[1]"), ({"texts": [["a"]]}, "texts[0]"), ({"text": ["a"]}, "text")],
)
@pytest.mark.parametrize("path", ["/v1/classify", "/v1/explain"])
def test_a_model_of_one_text_refuses_lists(client, path, body, where):
    response = client.post(path, json=body)
    assert response.status_code == 422
    assert response.json()["error"]["message"] == f"{where} must be a string: this model reads one text at a time."


def test_a_line_of_a_stream_is_a_list_and_a_wrong_one_stops_no_other(pairs, client):
    lines = [PAIR, "one", {"text": PAIR[::-1], "id": 7}, {"text": "one", "id": 8}, ["a", 3]]
    content = "\n".join(map(json.dumps, lines))
    found = [
        json.loads(line)
        for line in pairs.post("/v1/classify/stream", content=content, headers=NDJSON).text.splitlines()
    ]
    assert [line.get("label") for line in found] == ["apple", None, "banana", None, None]
    assert [line.get("id") for line in found] == [None, None, 7, 8, None]
    assert WANTED in found[1]["error"]["message"] and WANTED in found[3]["error"]["message"]
    (other,) = client.post("/v1/classify/stream", content=json.dumps(PAIR), headers=NDJSON).text.splitlines()
    assert "reads one text at a time" in json.loads(other)["error"]["message"]


def test_other_formats_say_that_the_model_reads_several(pairs):
    tensor = {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["one"]}
    for path, body, where in (
        ("/predict", {"inputs": "one"}, "inputs[0] must be a list"),
        ("/models/fake", {"inputs": "one"}, "inputs[0] must be a list"),
        ("/v2/models/fake/infer", {"inputs": [tensor]}, "The input must be one tensor"),
    ):
        response = pairs.post(path, json=body)
        assert 400 <= response.status_code < 500, path
        assert where in response.text
        assert "this model reads so many together" in response.text


def test_the_client_sends_records(pairs):
    def forward(request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "application/json"}
        return httpx.Response(
            200, content=pairs.post(request.url.path, content=request.read(), headers=headers).content
        )

    with Client("http://service", transport=httpx.MockTransport(forward)) as client:
        assert [found.label for found in client.classify_many([PAIR, PAIR[::-1]])] == ["apple", "banana"]
        assert client.classify(PAIR).label == "apple"


def test_the_client_sends_feedback_on_records(pairs_with_feedback, tmp_path):
    def forward(request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "application/json"}
        answer = pairs_with_feedback.post(request.url.path, content=request.read(), headers=headers)
        return httpx.Response(answer.status_code, content=answer.content)

    with Client("http://service", transport=httpx.MockTransport(forward)) as client:
        client.feedback(PAIR, "apple")
    (file,) = (tmp_path / "feedback").glob("*.jsonl")
    assert json.loads(file.read_text())["text_2"] == PAIR[1]


@pytest.fixture
def pairs_with_feedback(make_client, tmp_path):
    return make_client(load=lambda path: Pairs(), feedback=tmp_path / "feedback", max_text_chars=30)


def test_feedback_on_several_texts_is_kept_in_columns_that_training_reads(pairs_with_feedback, tmp_path):
    given = {"text": PAIR, "label": "apple", "model": "fake", "version": "3"}
    assert pairs_with_feedback.post("/v1/feedback", json=given).status_code == 200
    (file,) = (tmp_path / "feedback").glob("*.jsonl")
    examples = read_examples(file, ReadOptions(text_columns=("text_1", "text_2"), label_column="label", apart=True))
    assert [split_texts(text) for text in examples.texts] == [PAIR]
    assert examples.labels == ["apple"]
    assert "text" not in examples.column_names


@pytest.mark.parametrize("about", [{}, {"model": "fake"}, {"model": "fake", "version": "3"}, {"model": "fake/live"}])
@pytest.mark.parametrize("text", ["one", ["one"], ["one", "two", "three"]])
def test_feedback_on_another_number_of_texts_is_refused(pairs_with_feedback, tmp_path, about, text):
    response = pairs_with_feedback.post("/v1/feedback", json={"text": text, "label": "apple", **about})
    assert response.status_code == 422
    assert WANTED in response.json()["error"]["message"]
    assert not (tmp_path / "feedback").exists()


def test_feedback_about_a_version_that_is_gone_is_kept_all_the_same(pairs_with_feedback):
    for about in ({"model": "fake", "version": "1"}, {"model": "older"}):
        response = pairs_with_feedback.post("/v1/feedback", json={"text": "one", "label": "apple", **about})
        assert response.status_code == 200


@pytest.mark.parametrize("text", [[], ["a", 3], [["a", "b"]], {"text": "a"}, None, ["x" * 20, "y" * 20]])
def test_what_is_no_list_of_strings_within_the_limit_is_no_feedback(pairs_with_feedback, text):
    assert pairs_with_feedback.post("/v1/feedback", json={"text": text, "label": "apple"}).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/predict", {"inputs": PAIR}, ["apple", "banana", "cherry"]),
        ("/predict", {"inputs": [PAIR, PAIR[::-1]]}, [["apple", "banana", "cherry"], ["banana", "apple", "cherry"]]),
        ("/models/fake", {"inputs": TEXT_PAIR}, [["apple", "banana", "cherry"]]),
        ("/models/fake", {"inputs": [TEXT_PAIR] * 2, "parameters": {"top_k": 1}}, [["apple"], ["apple"]]),
    ],
)
def test_the_formats_that_know_pairs_take_them(pairs, path, body, answer):
    response = pairs.post(path, json=body)
    assert response.status_code == 200, response.text
    labels = [
        score["label"] if isinstance(score, dict) else [inner["label"] for inner in score] for score in response.json()
    ]
    assert labels == answer


@pytest.mark.parametrize(
    ("path", "inputs"),
    [
        ("/predict", [["one"], PAIR]), ("/predict", ["one", "two", "three"]), ("/predict", [PAIR, "one"]),
        ("/models/fake", {"text": "one"}), ("/models/fake", {"text": "one", "text_pair": None}),
        ("/models/fake", {"text": "one", "text_pair": "two", "more": 1}), ("/models/fake", [TEXT_PAIR, "one"]),
    ],
)  # fmt: skip
def test_half_a_pair_is_refused_in_the_shape_of_the_format(pairs, path, inputs):
    response = pairs.post(path, json={"inputs": inputs})
    assert response.status_code == 422
    assert isinstance(response.json()["error"], str)


MLFLOW = [
    {"inputs": [PAIR, PAIR[::-1]]}, {"instances": [PAIR, PAIR[::-1]]},
    {"dataframe_split": {"columns": ["question", "answer"], "data": [PAIR, PAIR[::-1]]}},
    {"dataframe_records": [dict(zip("qa", pair, strict=True)) for pair in (PAIR, PAIR[::-1])]},
    {"inputs": {"question": PAIR, "answer": PAIR[::-1]}},
]  # fmt: skip


@pytest.mark.parametrize("body", MLFLOW)
def test_mlflow_has_a_column_for_each_text(pairs, body):
    assert pairs.post("/invocations", json=body).json() == {"predictions": ["apple", "banana"]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["q", "a", "text"], "data": [["a", "b", "c"]]}},
        {"dataframe_records": [{"text": "a"}]}, {"inputs": {"text": ["a"]}}, {"inputs": {"q": ["a"], "a": ["b", "c"]}},
        {"inputs": {}}, {"inputs": "a"}, {"inputs": [["a", None]]},
    ],
)  # fmt: skip
def test_mlflow_with_other_columns_is_refused(pairs, body):
    assert pairs.post("/invocations", json=body).status_code == 422


def tensor(**more):
    return {"name": "text", "datatype": "BYTES", "shape": [2, 2], "data": [PAIR, PAIR[::-1]], **more}


@pytest.mark.parametrize("data", [[PAIR, PAIR[::-1]], [*PAIR, *PAIR[::-1]]])
def test_the_open_protocol_has_a_column_for_each_text(pairs, data):
    assert pairs.get("/v2/models/fake").json()["inputs"][0]["shape"] == [-1, 2]
    answer = pairs.post("/v2/models/fake/infer", json={"inputs": [tensor(data=data)], "outputs": [{"name": "label"}]})
    assert answer.json()["outputs"] == [
        {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["apple", "banana"]}
    ]


@pytest.mark.parametrize(
    "more", [{"shape": [2]}, {"shape": [2, 1]}, {"shape": [1, 4]}, {"shape": [4]}, {"shape": [3, 2]},
             {"data": [PAIR, PAIR[0]]}, {"data": [PAIR, [1, 2]]}, {"data": PAIR}],
)  # fmt: skip
def test_the_open_protocol_refuses_another_shape(pairs, more):
    response = pairs.post("/v2/models/fake/infer", json={"inputs": [tensor(**more)]})
    assert response.status_code == 422
    assert "2" in response.json()["error"] or "string" in response.json()["error"]


def test_pairs_come_as_binary_tensors_too(pairs):
    packed = b"".join(struct.pack("<I", len(text)) + text.encode() for text in (*PAIR, *PAIR[::-1]))
    asked = {"inputs": [{**tensor(parameters={"binary_data_size": len(packed)}), "data": None}]}
    del asked["inputs"][0]["data"]
    head = json.dumps({**asked, "outputs": [{"name": "label"}]}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    answer = pairs.post("/v2/models/fake/infer", content=head + packed, headers=headers)
    assert answer.json()["outputs"][0]["data"] == ["apple", "banana"]
