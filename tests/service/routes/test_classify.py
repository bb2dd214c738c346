from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import nan

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.errors import InvalidJSONError, RequestError
from service.native_wire import native
from service.request_body import quotes
from service.routes.classify import MANY, parse
from service.schemas import ClassifyResponse, ClassifyText, ClassifyTexts
from textcnn.types import LabelScore, Prediction, TextViews

from ...patience import PATIENCE
from ..conftest import ANSWERS
from ..odd_json import TEXTS
from ..strictly import strictly

JSON = {"content-type": "application/json"}
LIMITS = {"max_texts": 3, "max_text_chars": 20, "max_body_bytes": 1_000_000}


def test_one_text_gets_one_prediction(client):
    response = client.post("/v1/classify", json={"text": "a banana"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "model": "fake",
        "version": "3",
        "request_id": response.headers["x-request-id"],
        "predictions": [
            {"label": "banana", "probability": 0.5, "top": [{"label": "banana", "probability": 0.5}]},
        ],
    }


def test_texts_are_answered_in_order_with_their_best_labels(client):
    body = client.post("/v1/classify", json={"texts": ["cherry", "apple", ""], "top_k": 3}).json()
    assert [prediction["label"] for prediction in body["predictions"]] == ["cherry", "apple", "apple"]
    assert [score["label"] for score in body["predictions"][0]["top"]] == ["cherry", "apple", "banana"]


def test_a_threshold_leaves_out_what_does_not_reach_it(client):
    def ask(**asked):
        return client.post("/v1/classify", json={"text": "cherry", **asked}).json()["predictions"][0]

    assert [score["label"] for score in ask(threshold=0.3)["top"]] == ["cherry", "apple"]
    assert [score["label"] for score in ask(threshold=0.3, top_k=1)["top"]] == ["cherry"]
    assert ask(threshold=0.6) == {"label": None, "probability": 0.5, "top": []}
    assert len(ask(threshold=0)["top"]) == 3


@pytest.mark.parametrize("model", ["fake", "fake/3", "fake/live", ""])
def test_a_model_is_asked_by_name_version_or_alias(client, model):
    body = client.post("/v1/classify", json={"text": "a", "model": model}).json()
    assert (body["model"], body["version"]) == ("fake", "3")


def test_an_answer_can_come_with_its_reasons(client):
    response = client.post("/v1/classify", json={"texts": ["a cherry", "boom"], "explain": True})
    strictly(ClassifyResponse, response)
    first, failed = response.json()["predictions"]
    assert first["explanation"]["ngrams"][0]["text"] == "cherry"
    assert failed["error"]["code"] == "internal_error"


def test_what_a_model_of_another_kind_says_is_shown(make_client, classifier, monkeypatch):
    score = LabelScore("apple", 0.7)
    answers = {
        "unsure": Prediction((score,), abstained=True),
        "several": Prediction((score,), labels=(score,)),
        "path": Prediction((score,), levels=(score,)),
        "tasks": Prediction((score,), tasks={"fruit": Prediction((score,)), "tone": Prediction((score,))}),
    }
    monkeypatch.setattr(
        classifier, "classify", lambda texts, top_k=1: [answers.get(text, answers["unsure"]) for text in texts]
    )
    response = make_client().post("/v1/classify", json={"texts": list(answers)})
    strictly(ClassifyResponse, response)
    unsure, several, path, tasks = response.json()["predictions"]
    assert (unsure["label"], unsure["abstained"], unsure["probability"]) == (None, True, 0.7)
    assert several["labels"] == [{"label": "apple", "probability": 0.7}]
    assert path["levels"] == several["labels"]
    assert tasks["tasks"]["tone"]["label"] == "apple"


def test_a_text_on_which_the_model_fails_does_not_keep_the_others_from_their_answers(client):
    texts = ["cherry"] * 256
    texts[100] = "boom"
    response = client.post("/v1/classify", json={"texts": texts})
    assert response.status_code == 200
    strictly(ClassifyResponse, response)
    predictions = response.json()["predictions"]
    assert predictions.pop(100)["error"]["code"] == "internal_error"
    assert {prediction["label"] for prediction in predictions} == {"cherry"}


@pytest.mark.parametrize("asked", [{}, {"top_k": 3}, {"threshold": 0.3}, {"threshold": 0.6, "top_k": 1}])
@pytest.mark.parametrize("head", ["single_label", "abstaining", "multi_label"])
def test_many_texts_are_answered_like_each_alone(make_client, classifier, monkeypatch, asked, head):
    monkeypatch.setattr(classifier, "head", {"type": head})
    classifier.answer_as = ANSWERS.get(head, classifier.answer_as)
    client = make_client(max_batch_texts=MANY)  # several batches, the last a part of one
    texts = [f"{name} {number}" for number in range(MANY) for name in ("apple", "cherry", 'say "hi"')][: 2 * MANY + 7]

    def ask(texts):
        response = client.post("/v1/classify", json={"texts": texts, **asked})
        strictly(ClassifyResponse, response)
        return response.json()["predictions"]

    assert ask(texts) == [prediction for text in texts for prediction in ask([text])]


@pytest.mark.parametrize("head", ["single_label", "abstaining", "multi_label", "multi_task"])
def test_a_probability_that_is_no_number_is_a_failure_and_never_an_answer(make_client, classifier, head):
    def answer_as(prediction):
        found = ANSWERS.get(head, lambda one: one)(prediction)
        if prediction.label != "cherry":
            return found
        first, *others, last = prediction.top
        if head == "multi_label":  # the others of a softmax would be none either
            return replace(found, top=(first, *others, replace(last, probability=nan)))
        wrong = replace(prediction, top=tuple(replace(score, probability=nan) for score in prediction.top))
        return replace(found, tasks={"fruit": prediction, "colour": wrong}) if head == "multi_task" else wrong

    classifier.head, classifier.answer_as = {"type": head}, answer_as
    if head == "multi_task":
        classifier.labels = tuple(f"{task}={label}" for task in ("fruit", "colour") for label in classifier.labels)
    client = make_client()
    for path, body in (
        ("/v1/classify", {"text": "cherry", "top_k": 3}),
        ("/v1/classify", {"texts": ["cherry"] * MANY}),
    ):
        if head != "multi_label" or "text" in body:  # it does not stand among the best label alone
            assert client.post(path, json=body).status_code == 500
    for texts in (["apple", "cherry"], ["banana"] * (MANY + 1) + ["cherry"]):
        *others, last = client.post("/v1/classify", json={"texts": texts, "top_k": 3}).json()["predictions"]
        assert last == {"error": {"code": "internal_error", "message": "The model failed on this text."}}
        assert all("error" not in other for other in others)
    lines = client.post(
        "/v1/classify/stream?top_k=3", content=b'"cherry"\n"apple"', headers={"content-type": "application/x-ndjson"}
    ).text.splitlines()
    assert ["error" in line for line in lines] == [True, False]
    figures = client.get("/metrics").text
    assert 'textcnn_failed_texts_total{model="fake",version="3"} 0.0' not in figures
    assert not re.search(r"textcnn_confidence_sum\S* nan", figures, re.IGNORECASE)


def test_many_texts_on_all_of_which_the_model_fails_are_an_error(make_client):
    client = make_client(max_batch_texts=MANY)
    assert client.post("/v1/classify", json={"texts": ["boom"] * (2 * MANY)}).status_code == 500
    response = client.post("/v1/classify", json={"texts": ["boom"] * MANY + ["cherry"]})
    strictly(ClassifyResponse, response)
    *failed, good = response.json()["predictions"]
    assert {prediction["error"]["code"] for prediction in failed} == {"internal_error"}
    assert (len(failed), good["label"]) == (MANY, "cherry")


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "soon", "9" * 10])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(client, given):
    response = client.post("/v1/classify", json={"text": "a"}, headers={"x-request-timeout-ms": given})
    assert response.status_code == 422
    assert "X-Request-Timeout-Ms" in response.json()["error"]["message"]


def test_a_request_that_would_be_answered_after_its_timeout_is_given_up(make_client, classifier):
    classifier.slow = True
    client = make_client()
    holding = threading.Thread(target=lambda: client.post("/v1/classify", json={"text": "wait"}))
    holding.start()
    assert classifier.begun.wait(PATIENCE)
    threading.Timer(0.1, classifier.gate.set).start()
    response = client.post("/v1/classify", json={"text": "a"}, headers={"x-request-timeout-ms": "50"})
    holding.join(60)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_passed")


def test_ten_thousand_texts_at_once_get_their_own_answers(make_client):
    client = make_client(max_wait_ms=600_000)  # nothing is refused, however slow the machine is
    names = ["apple", "banana", "cherry"]
    texts = [f"{names[number % 3]} {number}" for number in range(10_000)]

    def ask(start: int) -> list[str]:
        body = client.post("/v1/classify", json={"texts": texts[start : start + 250]}).json()
        return [prediction["label"] for prediction in body["predictions"]]

    with ThreadPoolExecutor(16) as pool:
        labels = [label for part in pool.map(ask, range(0, 10_000, 250)) for label in part]
    assert labels == [names[number % 3] for number in range(10_000)]


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "Привет", "你好", "👩‍👩‍👧", 'say "hi" \\ \\" bye\\\\', "\u202e\u200b", "a\u0301" * 9]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_any_string_is_a_text(client, text, ascii_only):
    body = json.dumps({"texts": [text, text], "top_k": 2}, ensure_ascii=ascii_only).encode()
    response = client.post("/v1/classify", content=body, headers=JSON)
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == 2


def test_the_answer_is_what_the_schema_documents(client):
    strictly(ClassifyResponse, client.post("/v1/classify", json={"text": "a", "top_k": 2}))


def test_a_charset_beside_the_media_type_is_fine(client):
    headers = {"content-type": "Application/JSON; charset=utf-8", "content-encoding": "identity"}
    assert client.post("/v1/classify", content=b'{"text":"a"}', headers=headers).status_code == 200


REFUSED = [
    # name, body, status, code, part of the message
    ("nothing", b"", 400, "invalid_json", "not JSON"),
    ("half", b'{"text": "a', 400, "invalid_json", "not JSON"),
    ("two documents", b'{"text": "a"}{"text": "b"}', 400, "invalid_json", "not JSON"),
    ("single quotes", b"{'text': 'a'}", 400, "invalid_json", "not JSON"),
    ("deep nesting", b'{"text": ' + b"[" * 100_000, 400, "invalid_json", "depth"),
    ("deep nesting, closed", b'{"text": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400, "invalid_json", "depth"),
    ("bad UTF-8", b'{"text": "\xff"}', 400, "invalid_json", "UTF-8"),
    ("UTF-16", '{"text": "a"}'.encode("utf-16"), 400, "invalid_json", "UTF-8"),
    ("byte order mark", b'\xef\xbb\xbf{"text": "a"}', 400, "invalid_json", "BOM"),
    ("lone surrogate", b'{"text": "\\ud800"}', 400, "invalid_json", "surrogate"),
    ("lone surrogate in UTF-8", b'{"text": "\xed\xa0\x80"}', 400, "invalid_json", "UTF-8"),
    ("NaN", b'{"text": "a", "top_k": NaN}', 400, "invalid_json", "not JSON"),
    ("Infinity", b'{"text": "a", "top_k": -Infinity}', 400, "invalid_json", "not JSON"),
    ("infinite number", b'{"text": "a", "top_k": 1e999}', 400, "invalid_json", "infinity"),
    ("key given twice", b'{"text": "a", "text": "b"}', 400, "invalid_json", "twice"),
    ("key given twice, escaped", b'{"te\\u0078t": "\\"", "text": "\\u0022"}', 400, "invalid_json", "twice"),
    ("top_k given twice", b'{"text": "a", "top_k": 1, "top_k": 2}', 400, "invalid_json", "twice"),
    ("a list", b'["a"]', 422, "invalid_request", "object"),
    ("a string", b'"a"', 422, "invalid_request", "object"),
    ("null", b"null", 422, "invalid_request", "object"),
    ("neither", b"{}", 422, "invalid_request", "either text"),
    ("both", b'{"text": "a", "texts": ["b"]}', 422, "invalid_request", "either text"),
    ("unknown field", b'{"text": "a", "topk": 2}', 422, "invalid_request", "'topk'"),
    ("long unknown field", b'{"' + b"x" * 9_999 + b'": 2}', 422, "invalid_request", "'" + "x" * 40 + "'"),
    ("text a number", b'{"text": 1}', 422, "invalid_request", "text must be a string"),
    ("text a list", b'{"text": ["a"]}', 422, "invalid_request", "text must be a string"),
    ("text null", b'{"text": null}', 422, "invalid_request", "text must be a string"),
    ("texts a string", b'{"texts": "a"}', 422, "invalid_request", "list of strings"),
    ("texts an object", b'{"texts": {"a": 1}}', 422, "invalid_request", "list of strings"),
    ("texts null", b'{"texts": null}', 422, "invalid_request", "list of strings"),
    ("no texts", b'{"texts": []}', 422, "invalid_request", "empty"),
    ("a text not a string", b'{"texts": ["a", 2]}', 422, "invalid_request", "texts[1]"),
    ("too many texts", b'{"texts": ["a", "b", "c", "d"]}', 422, "invalid_request", "at most 3"),
    ("text too long", b'{"texts": ["a", "' + b"x" * 21 + b'"]}', 422, "invalid_request", "texts[1] has 21 characters"),
    ("top_k zero", b'{"text": "a", "top_k": 0}', 422, "invalid_request", "top_k"),
    ("top_k negative", b'{"text": "a", "top_k": -1}', 422, "invalid_request", "top_k"),
    ("top_k a string", b'{"text": "a", "top_k": "1"}', 422, "invalid_request", "top_k"),
    ("top_k a fraction", b'{"text": "a", "top_k": 1.5}', 422, "invalid_request", "top_k"),
    ("top_k true", b'{"text": "a", "top_k": true}', 422, "invalid_request", "top_k"),
    ("top_k null", b'{"text": "a", "top_k": null}', 422, "invalid_request", "top_k"),
    ("top_k huge", b'{"text": "a", "top_k": ' + b"9" * 400 + b"}", 400, "invalid_json", "infinity"),
    ("top_k over the labels", b'{"text": "a", "top_k": 4}', 422, "invalid_request", "3 labels"),
    ("threshold over 1", b'{"text": "a", "threshold": 1.01}', 422, "invalid_request", "threshold"),
    ("threshold negative", b'{"text": "a", "threshold": -0.1}', 422, "invalid_request", "threshold"),
    ("threshold a string", b'{"text": "a", "threshold": "0.5"}', 422, "invalid_request", "threshold"),
    ("threshold true", b'{"text": "a", "threshold": true}', 422, "invalid_request", "threshold"),
    ("threshold null", b'{"text": "a", "threshold": null}', 422, "invalid_request", "threshold"),
    ("explain a string", b'{"text": "a", "explain": "yes"}', 422, "invalid_request", "explain"),
    ("model a number", b'{"text": "a", "model": 3}', 422, "invalid_request", "model"),
    ("model given twice", b'{"text": "a", "model": "fake", "model": "fake"}', 400, "invalid_json", "twice"),
    ("model unknown", b'{"text": "a", "model": "other"}', 404, "unknown_model", "'other'"),
    ("version unknown", b'{"text": "a", "model": "fake/9"}', 404, "unknown_model", "'fake/9'"),
    ("model a path", b'{"text": "a", "model": "../fake/3"}', 404, "unknown_model", "no model"),
    ("body too long", b'{"text": "' + b"x" * 1_000_000 + b'"}', 413, "body_too_large", "1,000,000 bytes"),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "part"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_body_that_is_not_a_request_is_refused_with_the_reason(make_client, body, status, code, part):
    response = make_client(**LIMITS).post("/v1/classify", content=body, headers=JSON)
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert part in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=" + "-" * 70},
        {"content-type": "application/vnd.bentoml+pickle"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "identity, br"},
    ],
)
def test_only_plain_json_is_read(client, headers):
    response = client.post("/v1/classify", content=b'{"text": "a"}', headers=headers)
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/explain", "/v1/feedback"])
def test_what_belongs_into_the_body_is_not_passed_over_in_the_address(make_client, tmp_path, path):
    client = make_client(feedback=tmp_path / "feedback")
    body = {"text": "a cherry"} | ({"label": "cherry"} if path == "/v1/feedback" else {})
    answer = client.post(f"{path}?_=1&model=fake", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "model belongs into the body, not into the address."
    assert client.post(f"{path}?_=1", json=body).status_code == 200, "what others put into an address is their business"


def test_as_many_texts_are_explained_as_at_explain(client):
    assert client.post("/v1/classify", json={"texts": ["a"] * 64, "explain": True}).status_code == 200
    response = client.post("/v1/classify", json={"texts": ["a"] * 65, "explain": True})
    assert response.status_code == 422
    assert "64" in response.json()["error"]["message"]


def test_the_schema_and_the_parser_refuse_the_same_shapes():
    """The parser is by hand for speed; the documented schema must not promise otherwise."""
    schema = TypeAdapter(ClassifyText | ClassifyTexts)
    for name, body, status, _, _ in REFUSED:
        # how many labels there are, and whether a text is a list, the model decides
        if status == 422 and "too" not in name and "over the labels" not in name and name != "text a list":
            with pytest.raises(ValidationError):
                schema.validate_json(body, strict=True)


strings = st.text(st.characters(codec="utf-8"), max_size=4) | st.text('"\\', max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["text", "top_k"]), strings | st.just(1)), max_size=3), st.booleans())
def test_a_repeated_key_is_always_seen_and_never_imagined(pairs, ascii_only):
    """Compared with the plain way: let json hand over the pairs before they become a dict."""
    body = "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=ascii_only)}" for k, v in pairs) + "}"
    keys = [key for key, _ in pairs]
    values = dict(pairs)
    expected = sum(isinstance(value, str) for value in values.values()) + len(values)
    for way in (native, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("service.request_body.native", way)
            assert (quotes(body.encode()) != 2 * expected) == (len(set(keys)) != len(keys))


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_make_the_parser_fail_in_another_way(body):
    with pytest.raises(RequestError):
        parse(body, max_texts=3, max_text_chars=20)


def asked(body: bytes, way) -> object:
    """What the parser makes of a body in one way of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.native_wire.native", way)
        patch.setattr("service.request_body.native", way)
        patch.setattr("service.routes.classify.MANY", 2)
        try:
            found = parse(body, max_texts=4, max_text_chars=20)
        except RequestError as error:
            return type(error), str(error)
    return (*found._replace(texts=list(found.texts)), isinstance(found.texts, TextViews))


WHITE = st.sampled_from([b"", b"", b" ", b"\r\n\t "])
ARRAYS = st.lists(TEXTS | st.sampled_from([b"1", b"null", b'["a"]', b""]) | TEXTS | TEXTS, max_size=5).flatmap(
    lambda texts: WHITE.map(lambda white: b"[%b]" % (white + (white + b"," + white).join(texts) + white))
)
MEMBERS = st.tuples(
    st.sampled_from(
        [b'"texts"', b'"texts"', b'"texts"', b'"te\\u0078ts"', b'"text"', b'"top_k"', b'"model"', b'"threshold"']
    ),
    ARRAYS | ARRAYS | TEXTS | st.sampled_from([b"2", b"0.5", b"null", b"tru", b"{}", b'[{"texts":[]}]', b'"a"', b"-"]),
)
BODIES = st.tuples(WHITE, st.lists(MEMBERS, max_size=3), st.sampled_from([b"}", b"}", b"}", b"", b"]", b"} x"])).map(
    lambda parts: (
        parts[0]
        + b"{"
        + b",".join(parts[0] + name + parts[0] + b":" + parts[0] + value + parts[0] for name, value in parts[1])
        + parts[2]
    )
)


@pytest.mark.skipif(native() is None, reason="service._wire is not compiled")
@given(BODIES)
@example(b'{"texts":["a","b"],"texts":[]}')
@example(b'{"texts":["a","b"],"texts":["c"]}')
@example(b'{"texts":["a","b"],"texts":5}')
@example(b'{"texts":[],"texts":["a","b"]}')
@example(b'{"texts":["a","b"],"te\\u0078ts":[]}')
@example(b'{"top_k":1,"model":"\\u00e9","texts":["a","b"]}')
@example(b'{"threshold":0.5,"texts":["a","b"],"text":"c"}')
@example(b'{"texts":["a","b","c","d","e"]}')
@example(b'{"texts":["a","' + b"b" * 21 + b'"]}')
@example(b'{"texts":["a","b"]')
@example(b'{"texts":["a","b"]}}')
@example(b'{"texts":["a","b",]}')
@example(b'{"texts":["a" "b"]}')
@example(b'{"texts":["a","b"],}')
@example(b'{"top_k":1 2,"texts":["a","b"]}')
@example(b'{"top_k":,"texts":["a","b"]}')
@example(b'["texts",["a","b"]]')
def test_a_body_of_many_texts_is_read_in_place_as_it_is_read_by_orjson(body):
    compiled, plain = asked(body, native), asked(body, lambda: None)
    assert compiled[: len(compiled) - (len(compiled) > 2)] == plain[: len(plain) - (len(plain) > 2)]
    assert plain[-1] is not True


@pytest.mark.skipif(native() is None, reason="service._wire is not compiled")
@pytest.mark.parametrize(
    "body",
    [
        b'{"texts":["a","b"]}',
        b' { "top_k" : 2 , "model" : "\\u00e9" ,\r\n "texts" : [\n"a" , "\\n" ] , "threshold" : 0.5 } ',
        '{"texts":["\u00e9","\U0001f600"]}'.encode(),
    ],
)
def test_what_is_usual_is_read_in_place(body):
    assert asked(body, native)[-1] is True


def test_a_million_backslashes_are_parsed_without_looking_back():
    """It would take years."""
    body = b'{"text": "' + b"\\\\" * 500_000 + b'\\"", "text": "a"}'
    with pytest.raises(InvalidJSONError, match="twice"):
        parse(body, max_texts=1, max_text_chars=10**6)
