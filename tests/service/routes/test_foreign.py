"""Formats of other servers: with the real client where there is a light one, else as their documents give them."""

from __future__ import annotations

import json
import struct

import huggingface_hub
import numpy as np
import pytest
import tritonclient.http as triton

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(launch):
    return launch("--max-texts", "5", "--max-text-chars", "20").wait_until_ready()


@pytest.fixture
def limited(make_client):
    return make_client(max_texts=5, max_text_chars=20)


def test_the_client_of_hugging_face_reads_our_answers(server):
    client = huggingface_hub.InferenceClient(model=f"{server.url}/models/fake", token="none")
    found = client.text_classification("a cherry")
    assert [(element.label, element.score) for element in found] == [
        ("cherry", 0.5),
        ("apple", 0.375),
        ("banana", 0.125),
    ]
    assert len(client.text_classification("a cherry", top_k=1, function_to_apply="softmax")) == 1


@pytest.mark.parametrize("binary", [True, False])
def test_the_client_of_triton_reads_our_answers(server, binary):
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("fake", "3")
    assert client.get_model_metadata("fake")["inputs"][0]["name"] == "text"
    texts = triton.InferInput("text", [2], "BYTES")
    texts.set_data_from_numpy(np.array([b"a cherry", "banana é".encode()], dtype=np.object_), binary_data=binary)
    asked = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
    result = client.infer("fake", [texts], request_id="42", outputs=asked)
    assert [decoded(label) for label in result.as_numpy("label")] == ["cherry", "banana"]
    assert result.as_numpy("probabilities").tolist() == [[0.375, 0.125, 0.5], [0.375, 0.5, 0.125]]
    assert result.get_response()["id"] == "42"
    best = client.infer("fake", [texts], outputs=[triton.InferRequestedOutput("probabilities", class_count=1)])
    assert decoded(best.as_numpy("probabilities").ravel()[0]) == "0.500000:2:cherry"
    client.close()


def decoded(element: bytes | str) -> str:
    """The client gives bytes for binary tensors and strings for JSON."""
    return element.decode() if isinstance(element, bytes) else element


def tensor(**more):
    return {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"], **more}


ANSWERS = [
    # path, body, answer
    ("/models/fake", {"inputs": "cherry", "parameters": {"top_k": 1}}, [[{"label": "cherry", "score": 0.5}]]),
    (
        "/models/fake/3",
        {"inputs": ["cherry", "a"], "parameters": {"top_k": 1}},
        [[{"label": "cherry", "score": 0.5}], [{"label": "apple", "score": 0.5}]],
    ),
    (
        "/predict",
        {"inputs": "cherry"},
        [{"score": 0.5, "label": "cherry"}, {"score": 0.375, "label": "apple"}, {"score": 0.125, "label": "banana"}],
    ),
    ("/invocations", {"inputs": ["cherry", "a"]}, {"predictions": ["cherry", "apple"]}),
    ("/invocations", {"instances": [{"text": "cherry"}]}, {"predictions": ["cherry"]}),
    ("/invocations", {"inputs": {"text": ["cherry"]}}, {"predictions": ["cherry"]}),
    ("/invocations", {"dataframe_records": [{"text": "cherry", "id": 1}]}, {"predictions": ["cherry"]}),
    ("/invocations", {"dataframe_split": {"columns": ["x", "text"], "data": [[1, "a"]]}}, {"predictions": ["apple"]}),
    ("/v1/models/fake:predict", {"instances": ["cherry"]}, {"predictions": [[0.375, 0.125, 0.5]]}),
    ("/v1/models/fake/versions/3:predict", {"instances": [{"text": "cherry"}]}, {"predictions": [[0.375, 0.125, 0.5]]}),
    (
        "/v1/models/fake:classify",
        {"examples": [{"text": "cherry"}]},
        {"result": [[["cherry", 0.5], ["apple", 0.375], ["banana", 0.125]]]},
    ),
    (
        "/v2/models/fake/infer",
        {"id": "7", "inputs": [tensor(shape=[2, 1], data=[["cherry"], "a"])], "outputs": [{"name": "label"}]},
        {
            "model_name": "fake",
            "model_version": "3",
            "id": "7",
            "outputs": [{"name": "label", "shape": [2], "datatype": "BYTES", "data": ["cherry", "apple"]}],
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "answer"), ANSWERS, ids=[f"{row[0]} {number}" for number, row in enumerate(ANSWERS)]
)
def test_bodies_as_their_documents_give_them_are_answered_so(limited, path, body, answer):
    response = limited.post(path, json=body)
    assert (response.status_code, response.json()) == (200, answer)


def test_a_list_of_lists_is_a_batch_for_tei_and_a_list_of_two_is_a_pair(limited):
    assert [row[0]["label"] for row in limited.post("/predict", json={"inputs": [["cherry"], ["a"]]}).json()] == [
        "cherry",
        "apple",
    ]
    for pair in (["a", "b"], [["a", "b"]]):
        response = limited.post("/predict", json={"inputs": pair})
        assert (response.status_code, response.json()["error_type"]) == (422, "Validation")


INFER = "/v2/models/fake/infer"
REFUSED = [
    ("/models/fake", {}), ("/models/fake", {"inputs": 1}), ("/models/fake", {"inputs": []}),
    ("/models/fake", {"inputs": ["a"] * 6}), ("/models/fake", {"inputs": "x" * 21}),
    ("/models/fake", {"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}),
    ("/models/fake", {"inputs": "a", "parameters": {"top_k": 0}}), ("/models/fake", {"inputs": "a", "parameters": 1}),
    ("/predict", {"inputs": []}), ("/predict", {"inputs": [[1]]}), ("/predict", {"inputs": "a", "raw_scores": True}),
    ("/predict", {"inputs": "a", "truncate": False}), ("/predict", {"inputs": [["a"], []]}),
    ("/invocations", {}), ("/invocations", {"inputs": ["a"], "instances": ["a"]}), ("/invocations", {"inputs": [1]}),
    ("/invocations", {"dataframe_split": []}), ("/invocations", {"dataframe_records": [{"a": "x", "b": "y"}]}),
    ("/invocations", {"dataframe_split": {"columns": ["a", "b"], "data": []}}), ("/invocations", {"inputs": {}}),
    ("/invocations", {"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}}),
    ("/v1/models/fake:predict", {"instances": "a"}), ("/v1/models/fake:predict", {"instances": [{}]}),
    ("/v1/models/fake:predict", {"instances": ["a"], "inputs": ["a"]}),
    ("/v1/models/fake:classify", {"instances": ["a"]}),
    (INFER, {}), (INFER, {"inputs": [tensor(), tensor()]}), (INFER, {"inputs": [tensor(datatype="FP32")]}),
    (INFER, {"inputs": [tensor(shape=[2])]}), (INFER, {"inputs": [tensor(shape=[1, 2])]}),
    (INFER, {"inputs": [tensor(data=[1])]}), (INFER, {"inputs": [tensor(parameters={"binary_data_size": 4})]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "other"}]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "label", "parameters": 1}]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "probabilities"}] * 2}),
    (INFER, {"inputs": [tensor()], "id": 5}),
]  # fmt: skip


TWICE = [
    ("/models/fake", b'{"inputs": "a", "inputs": "b"}'),
    ("/predict", b'{"inputs": "a", "raw_scores": true, "raw_scores": false}'),
    ("/invocations", b'{"inputs": {"text": ["a"], "text": ["b"]}}'),
    (INFER, b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"], "data": ["b"]}]}'),
]


@pytest.mark.parametrize(("path", "body"), TWICE)
def test_a_field_that_is_given_twice_is_refused(limited, path, body):
    response = limited.post(path, content=body, headers=JSON)
    assert response.status_code == 400, response.text
    assert "twice" in response.text


@pytest.mark.parametrize(("path", "body"), REFUSED, ids=[f"{row[0]} {number}" for number, row in enumerate(REFUSED)])
def test_what_is_not_of_the_format_is_refused_in_its_own_shape(limited, path, body):
    response = limited.post(path, json=body)
    assert response.status_code == 422, response.text
    content = response.json()
    assert isinstance(content.get("error", content.get("message")), str)


PATHS = sorted({row[0] for row in ANSWERS})


@pytest.mark.parametrize("path", PATHS)
def test_no_format_lets_anything_else_out_or_in(limited, path):
    assert limited.post(path, content=b"{", headers=JSON).status_code == 400
    assert limited.post(path, content=b"[]", headers=JSON).status_code == 422
    assert limited.post(path, content=b"a", headers={"content-type": "text/csv"}).status_code == 415
    bodies = [body for where, body, _ in ANSWERS if where == path]
    poisoned = json.loads(json.dumps(bodies[0]).replace("cherry", "boom"))
    response = limited.post(path, json=poisoned)
    assert response.status_code in (424, 500)
    assert "boom" not in response.text and "Error" not in response.text.replace("INTERNAL_ERROR", "")


@pytest.mark.parametrize("path", ["/models/none", "/v1/models/none:predict", "/v2/models/none/infer"])
def test_an_unknown_model_is_not_found(limited, path):
    body = {"inputs": [tensor()], "instances": ["a"]} if "v2" in path else {"instances": ["a"], "inputs": "a"}
    body = {"instances": ["a"]} if "predict" in path else body
    response = limited.post(path, json=body)
    assert response.status_code == 404
    assert "none" in response.json()["error"]


@pytest.mark.parametrize(
    ("binary", "header"),
    [
        (b"\x05\0\0\0ab", None), (b"\x05\0", None), (b"\x01\0\0\0\xff", None), (b"\xff\xff\xff\xff", None),
        (struct.pack("<I", 1) + b"a", "99999"), (struct.pack("<I", 1) + b"a", "-1"), (b"", "x"),
    ],
)  # fmt: skip
def test_binary_tensors_that_lie_are_refused(limited, binary, header):
    head = json.dumps(
        {"inputs": [{"name": "t", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(binary)}}]}
    ).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": header or str(len(head))}
    assert limited.post("/v2/models/fake/infer", content=head + binary, headers=headers).status_code in (400, 422)


def test_health_and_metadata_are_there(limited):
    assert limited.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]
    assert limited.get("/v2/health/ready").json() == {"ready": True, "live": True}
    assert limited.get("/ping").status_code == 200
    info = limited.get("/info").json()
    assert info["model_type"]["classifier"]["id2label"] == {"0": "apple", "1": "banana", "2": "cherry"}
