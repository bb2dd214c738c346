from __future__ import annotations

import codecs
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.deployment import Deployment
from service.lines import Block, answer_block
from service.metrics import Metrics
from service.native_wire import JsonTexts, native
from textcnn import TextClassifier
from textcnn.types import LabelScore, Prediction, Ranking

from .odd_json import TEXTS

ROOT = Path(__file__).resolve().parent.parent.parent

LABELS = ('say "hi"', "déjà vu\n", "\\", "</script>")
PROBABILITIES = np.array([[0.9, 0.05, 0.04, 0.01], [0.25, 0.25, 0.25, 0.25], [1e-7, 0.0, 1.0, 1 / 3]], np.float32)


compiled = pytest.mark.skipif(native() is None, reason="service._wire is not compiled")
WAYS = [pytest.param("compiled", marks=compiled), "plain"]


class Columns:
    """Answers texts by the rows of PROBABILITIES, in turn; "boom" makes it fail. Abstains below 0.3.

    "0", "1", "2" ... get rows 0, 1, 2 ...; `seen` are all the texts that it was given.
    """

    labels = LABELS
    head = {"type": "single_label"}
    texts_per_record = 1
    engine_name = "columns"
    max_length = 50
    metrics_: dict[str, Any] = {}
    on_tokenized = None

    def __init__(self):
        self.seen = []

    def rank(self, texts, *, top_k=1):
        if "boom" in texts:
            raise RuntimeError("boom")
        self.seen += texts
        found = PROBABILITIES[[sum(map(ord, text)) % 3 for text in texts]].reshape(len(texts), 4)
        best = np.argsort(-found, axis=1, kind="stable")[:, :top_k]
        scores = np.take_along_axis(found, best, axis=1)
        return Ranking(best, scores, scores[:, 0] < 0.3)

    def classify(self, texts, *, top_k=1):
        ranking = self.rank(texts, top_k=top_k)
        rows = zip(ranking.best.tolist(), ranking.probabilities.tolist(), ranking.abstained.tolist(), strict=True)
        return [
            Prediction(tuple(LabelScore(LABELS[i], p) for i, p in zip(best, scores, strict=True)), abstained=doubt)
            for best, scores, doubt in rows
        ]


@pytest.fixture(params=WAYS)
async def deployment(request, monkeypatch):
    """With the compiled lines and without."""
    if request.param == "plain":
        monkeypatch.setattr("service.lines.native", lambda: None)
        monkeypatch.setattr("service.predictions.native", lambda: None)
    made = Deployment(Columns(), Metrics(), name="m", version="1", max_batch_texts=256, max_batch_chars=65_536)
    yield made
    made.retire()


def block(*lines: bytes, first: int = 1) -> Block:
    return Block(b"\n".join(lines), first, len(lines))


def answers(deployment, given, *, top_k=1, threshold=None):
    written = answer_block(deployment, given, top_k=top_k, threshold=threshold, max_text_chars=100)
    assert written.endswith(b"\n")
    return [json.loads(line) for line in written.splitlines()]


@pytest.mark.anyio
@pytest.mark.parametrize("top_k", [1, 2, 4])
async def test_lines_written_from_columns_are_those_written_from_objects(deployment, top_k):
    given = block(*(json.dumps(str(number)).encode() for number in range(7)), first=98)
    from_columns = answers(deployment, given, top_k=top_k)
    deployment.ranks = False
    assert from_columns == answers(deployment, given, top_k=top_k)
    assert [line["line"] for line in from_columns] == list(range(98, 105))
    assert [line.get("abstained") for line in from_columns[:3]] == [None, True, None]


@pytest.mark.anyio
async def test_one_text_that_makes_the_model_fail_leaves_the_others_as_they_are(deployment):
    lines = [b'"0"', b'{"text": "boom", "id": 7}', b'"2"']
    first, failed, last = answers(deployment, block(*lines))
    assert (first["label"], last["label"]) == (LABELS[0], LABELS[2])
    assert (failed["line"], failed["id"], failed["error"]["code"]) == (2, 7, "internal_error")


@pytest.mark.anyio
async def test_what_is_answered_from_columns_is_counted_like_the_rest(deployment):
    texts = [str(number) for number in range(9)]
    series = deployment._series

    def counted():
        unlabelled = deployment._series._metrics.unlabelled_texts.labels("m", "1", "abstained")
        labels = [kept._value.get() for kept in (*(series._predictions[label] for label in LABELS), unlabelled)]
        return labels, [bucket.get() for bucket in series._confidence._buckets], series._confidence._sum.get()

    deployment.rank_now(texts, 1, "stream")
    by_columns = counted()
    deployment.classify_now(texts, 1, "stream")
    both = counted()
    assert [[2 * count for count in part] for part in by_columns[:2]] == list(both[:2])
    assert 2 * by_columns[2] == pytest.approx(both[2])
    assert series.texts._value.get() == 18


BLOCKS = {
    "strings": (b'"a"\n"b"', ["a", "b"]),
    "strings with the line ends of Windows": (b'"a"\r\n "b" ', ["a", "b"]),
    "several on a line and a line that is none": (b'"a","b"\n', ["invalid_json"]),
    "several on a line and as many on none": (b'"a","b"\n["c"\n"d"]', ["invalid_json"] * 3),
    "an object over two lines": (b'"a"\n{"text":\n"b"}', ["a", "invalid_json", "invalid_json"]),
    "objects that seem to be one": (
        b'{"text":"a"},{"text":"b"}\n{"text":"x","id":[{"c":1}\n{"d":2}]}',
        ["invalid_json"] * 3,
    ),
    "a line that is cut within its quotes": (b'"a\n"b"', ["invalid_json", "b"]),
    "an escaped quote at the end": (b'"a\\"\n"b"', ["invalid_json", "b"]),
    "blank lines": (b'\n"a"\n  \n"b"\n', ["a", "b"]),
    "numbers and null": (b'"a"\n1\nnull', ["a", "invalid_request", "invalid_request"]),
    "too long by one": (b'"%b"\n"a"' % (b"x" * 101), ["invalid_request", "a"]),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", BLOCKS)
async def test_a_line_is_what_it_is_alone(deployment, name):
    content, expected = BLOCKS[name]
    written = answer_block(
        deployment, Block(content, 1, content.count(b"\n") + 1), top_k=1, threshold=None, max_text_chars=100
    )
    texts = iter(sorted(deployment.classifier.seen))
    found = [json.loads(line) for line in written.splitlines()]
    assert [answer["error"]["code"] if "error" in answer else next(texts) for answer in found] == expected
    alone = [
        answer_block(deployment, Block(line, number, 1), top_k=1, threshold=None, max_text_chars=100)
        for number, line in enumerate(content.split(b"\n"), 1)
    ]
    assert b"".join(alone) == written


@pytest.mark.anyio
async def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it(deployment):
    mark = codecs.BOM_UTF8
    for lines in ([mark + b'{"text": "1"}', b'{"text": "2"}'], [mark + b'"1"', b'"2"']):
        answers(deployment, block(*lines))
        assert deployment.classifier.seen == ["1", "2"]
        deployment.classifier.seen.clear()
    (refused,) = answers(deployment, block(mark + b'"1"', first=2))
    assert refused["error"]["code"] == "invalid_json"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "written",
    ["7", "-7", "0", '"seven"', '""', '"é"', "null", "true", "false", "999999999999999999"]
    + ["-0", "01", "1.0", "1e5", "123456789012345678901", r'"\u00e9"', '["a", 1]', '{"a": 1}', "7 ", " 7"],
)
async def test_an_id_comes_back_as_orjson_writes_it(deployment, written):
    line = b'{"text": "1", "id": %b}' % written.encode()
    (answer,) = answers(deployment, block(line))
    try:
        expected = orjson.loads(written)
    except orjson.JSONDecodeError:
        assert answer["error"]["code"] == "invalid_json"
    else:
        assert orjson.dumps(answer["id"]) == orjson.dumps(expected)


def read_by_orjson(content, longest=100):
    """What Lines is to find: the texts and heads of lines that are usual, and the numbers of those that are not."""
    texts, heads, others = [], [], []
    for number, line in enumerate(content.split(b"\n"), 5):
        if not line.strip(b" \t\r"):
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            others.append(number)
            continue
        text = value if isinstance(value, str) else value.get("text") if isinstance(value, dict) else None
        if not isinstance(text, str) or len(text) > longest:
            others.append(number)
        else:
            texts.append(text)
            heads.append(number)
    return texts, heads, others


LINES = (
    TEXTS
    | TEXTS.map(lambda text: b'{"text":%b}' % text)
    | st.tuples(TEXTS, st.integers(-5, 10**19)).map(
        lambda pair: b' { "id" : %d , "text" : %b } \r' % (pair[1], pair[0])
    )
    | st.binary(max_size=12).filter(lambda line: b"\n" not in line)
)


@compiled
@given(st.lists(LINES, max_size=8).map(b"\n".join))
@example(b'"abcdefg\\"hi\xc3\xa9"\n"' + b"x" * 101 + b'"\n"y"')
@example(b'{"text":"a","text":"b"}\n{"id":1,"id":2,"text":"a"}\n{"text":"a","id":1,}\n{"text":"a" "id":1}\n{"id":1}')
def test_texts_are_those_that_orjson_finds(content):
    lines = native().Lines(content, 5, 100, 1000)
    others = [number for number, _ in lines.others]
    assert [line for _, line in lines.others] == [content.split(b"\n")[number - 5] for number in others]
    texts, numbers, unread = read_by_orjson(content)
    heads = [orjson.loads(b'{"line":%b}' % head) for head in lines.heads()]
    found = dict(zip([head["line"] for head in heads], JsonTexts(lines), strict=True))
    expected = dict(zip(numbers, texts, strict=True))
    assert set(found) | set(others) == set(numbers) | set(unread) and not set(found) & set(others)
    assert {number: text for number, text in expected.items() if number in found} == found
    for head in heads:
        given_line = orjson.loads(content.split(b"\n")[head["line"] - 5])
        assert head.get("id") == (given_line.get("id") if isinstance(given_line, dict) else None)


@compiled
@pytest.mark.parametrize(
    "line", [b'"plain"', '"d\u00e9j\u00e0 vu"'.encode(), rb'"say \"hi\" \ud83d\ude00"', b'{"text": "a", "id": 3}']
)
def test_what_is_usual_is_not_left_to_python(line):
    assert native().Lines(line, 1, 100, 1000).others == []


@compiled
def test_texts_of_lines_slice_and_iterate_like_a_list():
    expected = ["a", "\u00e9\n", "", "dd"]
    texts = JsonTexts(native().Lines("\n".join(map(json.dumps, expected)).encode(), 1, 10, 100))
    assert list(texts) == expected and "dd" in texts and texts[-1] == "dd"
    assert texts.lengths.tolist() == [1, 2, 0, 2]
    for begin, end, step in product([None, 0, 1, 3, 5, -2], [None, 0, 2, 4, 9, -1], [None, 1, 2, -1]):
        assert list(texts[begin:end:step]) == expected[begin:end:step]
    part = texts[1:][1:3]
    del texts
    assert (list(part), part.lengths.tolist()) == (["", "dd"], [0, 2])
    for begin, end in ((0, 3), (-1, 1), (2, 1)):
        with pytest.raises(IndexError):
            part._texts.part(begin, end)
    with pytest.raises(IndexError):
        part[2]


@compiled
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_model_answers_texts_where_they_stand_as_it_answers_strings(ascii_only):
    model = TextClassifier.load(ROOT / "models" / "support" / "1")
    texts = [
        "Where is my parcel?",
        'I said "no"',
        "déjà vu",
        "e\u0301 \u1100\u1161 한국어",
        "😀👍🏽 parcel",
        "",
        "a\u0000b",
        "ｆｕｌｌ",
    ]
    lines = "\n".join(json.dumps(text, ensure_ascii=ascii_only) for text in texts).encode()
    views = JsonTexts(native().Lines(lines, 1, 100, 1000))
    assert list(views) == texts
    np.testing.assert_array_equal(model.predict_proba(views), model.predict_proba(texts))
    assert model.explain(views)[0].to_dict() == model.explain(texts)[0].to_dict()


@compiled
@pytest.mark.parametrize(
    "wrong",
    [
        {"best": np.array([[2]])},
        {"best": np.array([[-1]])},
        {"best": np.array([[0], [1]]), "abstained": np.array([False, False])},
        {"probabilities": b"[0.5,0.5]"},
        {"probabilities": b"[]"},
        {"probabilities": b"["},
        {"probabilities": b"[0.5"},
        {"heads": []},
        {"heads": [1]},
        {"heads": "1"},
        {"labels": ("a", "b")},
        {"abstained": np.array([], bool)},
    ],
)
def test_columns_that_do_not_fit_each_other_are_not_written(wrong):
    fitting = {"labels": (b'"a"', b'"b"'), "best": np.array([[0]]), "probabilities": b"[0.5]"}
    fitting |= {"abstained": np.array([False]), "heads": [b"1"]}
    assert orjson.loads(native().write(*fitting.values()))["label"] == "a"
    with pytest.raises(ValueError, match="as many numbers"):
        native().write(*(fitting | wrong).values())
