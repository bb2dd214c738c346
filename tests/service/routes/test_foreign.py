"""Formats of other servers: with the real client where there is a light one, else as their documents give them."""

from __future__ import annotations

import json
import struct

import huggingface_hub
import numpy as np
import pytest
import tritonclient.http as triton

from textcnn.types import LabelScore, Prediction

from .test_admin import HOSTILE

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
    ("/v1/models/fake:predict", {"instances": [["cherry"]]}, {"predictions": [[0.375, 0.125, 0.5]]}),
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


@pytest.mark.parametrize("inputs", [5, None, {}, True, [[]], [["a"], "b"], [["a"], []], [["a"], 5]])
def test_what_is_no_input_is_told_in_the_words_of_tei(limited, inputs):
    response = limited.post("/predict", json={"inputs": inputs})
    assert (response.status_code, response.json()["error_type"]) == (422, "Validation")
    assert response.json()["error"].startswith("`inputs` must be a string")


def test_one_text_in_a_list_is_one_answer_of_tei_and_a_model_that_fails_is_its_backend(limited):
    one = limited.post("/predict", json={"inputs": "cherry"})
    assert limited.post("/predict", json={"inputs": ["cherry"]}).json() == one.json()
    failed = limited.post("/predict", json={"inputs": "boom"})
    assert (failed.status_code, failed.json()["error_type"]) == (424, "Backend")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/models/fake:predict", {"instances": [["a", "b"]]}, "instances[0] must be a string"),
        ("/v1/models/fake:predict", {"instances": [[]]}, "instances[0] must be a string"),
        ("/invocations", {"dataframe_split": {"data": 5}}, "dataframe_split must be"),
        ("/invocations", {"dataframe_split": {"columns": ["text"]}}, "dataframe_split must be"),
        ("/invocations", {"dataframe_split": [["a"]]}, "dataframe_split must be"),
    ],
)
def test_rows_that_are_no_texts_are_refused_with_what_they_must_be(limited, path, body, said):
    response = limited.post(path, json=body)
    assert response.status_code == 422
    assert said in response.text


def test_a_list_of_lists_is_a_batch_for_tei_and_a_list_of_two_is_a_pair(limited):
    assert [row[0]["label"] for row in limited.post("/predict", json={"inputs": [["cherry"], ["a"]]}).json()] == [
        "cherry",
        "apple",
    ]
    for pair in (["a", "b"], [["a", "b"]]):
        response = limited.post("/predict", json={"inputs": pair})
        assert (response.status_code, response.json()["error_type"]) == (422, "Validation")


def test_an_empty_batch_is_an_error_of_its_own_for_tei(limited):
    response = limited.post("/predict", json={"inputs": []})
    said = {"error": "Input validation error: `inputs` cannot be empty", "error_type": "Empty"}
    assert (response.status_code, response.json()) == (400, said)


INFER = "/v2/models/fake/infer"
FITTING = {"inputs": [tensor()], "instances": ["a"], "examples": ["a"]}
REFUSED = [
    ("/models/fake", {}), ("/models/fake", {"inputs": 1}), ("/models/fake", {"inputs": []}),
    ("/models/fake", {"inputs": ["a"] * 6}), ("/models/fake", {"inputs": "x" * 21}),
    ("/models/fake", {"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}),
    ("/models/fake", {"inputs": "a", "parameters": {"top_k": 0}}), ("/models/fake", {"inputs": "a", "parameters": 1}),
    ("/predict", {"inputs": [[1]]}), ("/predict", {"inputs": "a", "raw_scores": True}),
    ("/predict", {"inputs": "a", "truncate": False}), ("/predict", {"inputs": "a", "truncate": "yes"}),
    ("/predict", {"inputs": "a", "truncation_direction": "Left"}),
    ("/predict", {"inputs": "a", "truncation_direction": ["Right"]}), ("/predict", {"inputs": [["a"], []]}),
    ("/invocations", {}), ("/invocations", {"inputs": ["a"], "instances": ["a"]}), ("/invocations", {"inputs": [1]}),
    ("/invocations", {"dataframe_split": []}), ("/invocations", {"dataframe_records": [{"a": "x", "b": "y"}]}),
    ("/invocations", {"dataframe_split": {"columns": ["a", "b"], "data": []}}), ("/invocations", {"inputs": {}}),
    ("/invocations", {"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}}),
    ("/v1/models/fake:predict", {"instances": "a"}), ("/v1/models/fake:predict", {"instances": [{}]}),
    ("/v1/models/fake:predict", {"instances": ["a"], "inputs": ["a"]}),
    ("/v1/models/fake:classify", {"instances": ["a"]}),
    (INFER, {}), (INFER, {"inputs": [tensor(), tensor()]}), (INFER, {"inputs": [tensor(datatype="FP32")]}),
    (INFER, {"inputs": [tensor(shape=[2])]}), (INFER, {"inputs": [tensor(shape=[1, 2])]}),
    (INFER, {"inputs": [tensor(shape=[1.0])]}), (INFER, {"inputs": [tensor(shape=[True])]}),
    (INFER, {"inputs": [tensor(data=[1])]}), (INFER, {"inputs": [tensor(parameters={"binary_data_size": 4})]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "other"}]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "label", "parameters": 1}]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "label", "parameters": {"classification": 1}}]}),
    (INFER, {"inputs": [tensor()], "outputs": ["label"]}), (INFER, {"inputs": [tensor()], "outputs": [{"name": [1]}]}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "probabilities"}] * 2}),
    (INFER, {"inputs": [tensor()], "id": 5}), (INFER, {"inputs": [tensor(shape=[])]}),
    (INFER, {"inputs": [tensor()], "parameters": {"binary_data_output": "yes"}}),
    (INFER, {"inputs": [tensor()], "outputs": [{"name": "label", "parameters": {"binary_data": 1}}]}),
    ("/invocations", {"dataframe_split": {"columns": ["text", "text"], "data": [["a", "b"]]}}),
    ("/invocations", {"inputs": {"text": ["a"], "id": [1, 2]}}),
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


@pytest.mark.parametrize("name", HOSTILE[1:])  # httpx itself resolves the first
@pytest.mark.parametrize(
    "path",
    ["/models/{}", "/models/fake/{}", "/v1/models/{}:predict", "/v1/models/fake/versions/{}:classify",
     "/v2/models/{}/infer", "/v2/models/fake/versions/{}/infer"],
)  # fmt: skip
def test_no_name_of_a_model_is_a_path(limited, path, name):
    response = limited.post(path.format(name), json=FITTING)
    assert response.status_code in (404, 422), response.text  # 422: this body is another format's
    assert "manifest" not in response.text and "/models" not in response.text.replace("/v1/models", "")


def test_an_address_in_a_text_is_a_text(limited, monkeypatch):
    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *of, **more: asked.append(of))
    monkeypatch.setattr("socket.socket.connect", lambda *of: asked.append(of))
    for path, body, _ in ANSWERS:
        fetched = json.loads(json.dumps(body).replace('"cherry"', '"http://evil/x.py"'))
        assert limited.post(path, json=fetched).status_code == 200
    assert asked == []


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


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/predict", {"inputs": "a"}), ("GET", "/info", None), ("POST", "/invocations", {"inputs": ["a"]})],
)
def test_a_format_that_cannot_name_a_model_is_answered_by_the_default_one(make_client, make_model, method, path, body):
    make_model("models/other/1")
    refused = make_client().request(method, path, json=body)
    assert refused.status_code == 422
    assert "fake, other" in refused.text and "--default-model" in refused.text
    assert make_client(default_model="other").request(method, path, json=body).status_code == 200


def test_health_and_metadata_are_there(limited):
    assert limited.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]
    assert limited.get("/v2/health/ready").json() == {"ready": True, "live": True}
    assert limited.get("/v2/models/fake").json()["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert limited.get("/ping").status_code == 200
    info = limited.get("/info").json()
    assert info["model_type"]["classifier"]["id2label"] == {"0": "apple", "1": "banana", "2": "cherry"}


def scores(**by_label):
    return tuple(LabelScore(label, probability) for label, probability in by_label.items())


HEADS = {
    # an answer for every text, as a model with this head gives it
    "single_label": Prediction(scores(cherry=0.5, apple=0.375, banana=0.125)),
    "ordinal": Prediction(scores(cherry=0.5, apple=0.375, banana=0.125)),
    "abstaining": Prediction(scores(cherry=0.5, apple=0.375, banana=0.125), abstained=True),
    "multi_label": Prediction(scores(cherry=0.75, apple=0.625, banana=0.125), labels=scores(cherry=0.75, apple=0.625)),
    "no label": Prediction(scores(cherry=0.25, apple=0.125, banana=0.125), labels=()),
    "multi_task": Prediction(
        scores(sour=0.75, sweet=0.25),
        tasks={"taste": Prediction(scores(sour=0.75, sweet=0.25)), "size": Prediction(scores(big=0.5, small=0.5))},
    ),
    "hierarchy": Prediction(
        scores(**{"red/cherry": 0.5, "red/apple": 0.375, "banana": 0.125}), levels=scores(red=0.875)
    ),
}
HEAD_TYPES = {"abstaining": "single_label", "no label": "multi_label"}
HEAD_LABELS = {
    "multi_task": ("taste=sour", "taste=sweet", "size=big", "size=small"),
    "hierarchy": ("banana", "red/apple", "red/cherry"),
}


@pytest.fixture(params=HEADS)
def head(request):
    return request.param


@pytest.fixture
def of_head(make_client, classifier, head):
    """A client of a model with such a head."""
    classifier.head = {"type": HEAD_TYPES.get(head, head), "levels": [[0, 1, 1]]}
    classifier.labels = HEAD_LABELS.get(head, classifier.labels)
    classifier.classify = lambda texts, *, top_k=1: [HEADS[head] for _ in texts]
    return make_client()


def test_mlflow_predicts_what_a_logged_model_would_return(of_head, head):
    response = of_head.post("/invocations", json={"inputs": ["a"]})
    expected = {
        "abstaining": None, "multi_label": ["cherry", "apple"], "no label": [],
        "multi_task": {"taste": "sour", "size": "big"}, "hierarchy": "red/cherry",
    }  # fmt: skip
    assert (response.status_code, response.json()) == (200, {"predictions": [expected.get(head, "cherry")]})


def test_tensorflow_serving_has_a_row_for_each_output(of_head, head):
    response = of_head.post("/v1/models/fake:predict", json={"instances": ["a"]})
    expected = {
        "multi_label": [0.625, 0.125, 0.75], "no label": [0.125, 0.125, 0.25],
        "multi_task": {"taste": [0.75, 0.25], "size": [0.5, 0.5]}, "hierarchy": [0.125, 0.375, 0.5],
    }  # fmt: skip
    assert (response.status_code, response.json()) == (200, {"predictions": [expected.get(head, [0.375, 0.125, 0.5])]})


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/models/fake", {"inputs": "a"}, "error"),
        ("/predict", {"inputs": "a"}, "error"),
        ("/v1/models/fake:classify", {"examples": ["a"]}, "error"),
    ],
)
def test_a_format_of_scores_gives_all_of_them_and_refuses_several_tasks(of_head, head, path, body, message):
    response = of_head.post(path, json=body)
    if head == "multi_task":
        assert response.status_code == 422
        assert "several tasks" in response.json()[message]
    else:
        best = HEADS[head].top[0]
        assert response.status_code == 200
        assert best.label in response.text and str(best.probability) in response.text


def test_hugging_face_may_say_which_function_this_head_has(of_head, head):
    for function in ("softmax", "sigmoid", "none"):
        body = {"inputs": "a", "parameters": {"function_to_apply": function}}
        right = function == ("sigmoid" if head in ("multi_label", "no label") else "softmax") and head != "multi_task"
        assert of_head.post("/models/fake", json=body).status_code == (200 if right else 422)


def test_the_open_protocol_has_a_tensor_for_each_part_of_an_answer(of_head, head):
    metadata = of_head.get("/v2/models/fake").json()["outputs"]
    answer = of_head.post(INFER, json={"inputs": [tensor()]}).json()["outputs"]
    assert [(one["name"], one["datatype"], one["shape"][1:]) for one in answer] == [
        (one["name"], one["datatype"], one["shape"][1:]) for one in metadata
    ]
    found = {one["name"]: one["data"] for one in answer}
    one_label = {"label": ["cherry"], "abstained": [False], "probabilities": [0.375, 0.125, 0.5]}
    expected = {
        "abstaining": {**one_label, "label": [""], "abstained": [True]},
        "multi_label": {"given": [True, False, True], "probabilities": [0.625, 0.125, 0.75]},
        "no label": {"given": [False, False, False], "probabilities": [0.125, 0.125, 0.25]},
        "multi_task": {
            "taste.label": ["sour"], "taste.abstained": [False], "taste.probabilities": [0.75, 0.25],
            "size.label": ["big"], "size.abstained": [False], "size.probabilities": [0.5, 0.5],
        },
        "hierarchy": {
            "label": ["red/cherry"], "abstained": [False], "probabilities": [0.125, 0.375, 0.5],
            "levels": ["red"], "level_probabilities": [0.875],
        },
    }  # fmt: skip
    assert found == expected.get(head, one_label)


def test_truth_values_are_read_by_the_client_of_triton(server):
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    texts = triton.InferInput("text", [2], "BYTES")
    texts.set_data_from_numpy(np.array([b"a cherry", b""], dtype=np.object_))
    asked = [triton.InferRequestedOutput("abstained", binary_data=True)]
    assert client.infer("fake", [texts], outputs=asked).as_numpy("abstained").tolist() == [False, False]
    client.close()


def test_the_state_of_a_model_is_told_as_tensorflow_serving_tells_it(client):
    state = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/fake", "/v1/models/fake/versions/3"):
        assert client.get(path).json() == {"model_version_status": [state]}
    assert client.get("/v1/models/none").status_code == 404


def test_every_loaded_version_has_a_state_of_tensorflow_serving(make_client, make_model, tmp_path):
    make_model("models/fake/4")
    (tmp_path / "models" / "serving.json").write_text('{"fake": {"aliases": {"live": "3", "next": "4"}}}')
    client = make_client()

    def versions(path):
        return [one["version"] for one in client.get(path).json()["model_version_status"]]

    assert sorted(versions("/v1/models/fake")) == ["3", "4"]
    assert versions("/v1/models/fake/versions/4") == ["4"]


def test_the_client_of_mlflow_reads_our_answers(server):
    """The bytes that it sends are in the next test, for where it is not installed."""
    scoring = pytest.importorskip("mlflow.pyfunc.scoring_server.client", reason="mlflow-skinny is not installed")
    pandas = pytest.importorskip("pandas", reason="mlflow's client needs pandas")
    host, port = server.url.removeprefix("http://").split(":")
    client = scoring.ScoringServerClient(host, int(port))
    client.ping()
    found = client.invoke(pandas.DataFrame({"text": ["a cherry", "b"]}), params={"x": 1}).get_predictions()
    assert found[0].tolist() == ["cherry", "apple"]


def test_what_the_client_of_mlflow_sends_is_answered(client):
    # as mlflow-skinny 3.17 sends a data frame of two rows
    frame = b'{"index": [0, 1], "columns": ["text"], "data": [["a cherry"], ["b"]]}'
    sent = b'{"dataframe_split": %s, "params": {"x": 1}}' % frame
    response = client.post("/invocations", content=sent, headers={**JSON, "accept-encoding": "gzip, deflate"})
    assert (response.status_code, response.json()) == (200, {"predictions": ["cherry", "apple"]})
