from __future__ import annotations

import codecs
import json
from typing import Any

import numpy as np
import pytest

from service.deployment import Deployment
from service.lines import Block, answer_block, read_block
from service.metrics import Metrics
from textcnn.types import LabelScore, Prediction, Ranking

LABELS = ('say "hi"', "déjà vu\n", "\\", "</script>")
PROBABILITIES = np.array([[0.9, 0.05, 0.04, 0.01], [0.25, 0.25, 0.25, 0.25], [1e-7, 0.0, 1.0, 1 / 3]], np.float32)


class Columns:
    """Answers texts 0, 1, 2 ... by the rows of PROBABILITIES, in turn; "boom" makes it fail. Abstains below 0.3."""

    labels = LABELS
    head = {"type": "single_label"}
    texts_per_record = 1
    engine_name = "columns"
    max_length = 50
    metrics_: dict[str, Any] = {}
    on_tokenized = None

    def rank(self, texts, *, top_k=1):
        if "boom" in texts:
            raise RuntimeError("boom")
        found = PROBABILITIES[[int(text) % 3 for text in texts]].reshape(len(texts), 4)
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


@pytest.fixture
async def deployment():
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
    given = Block(content, 1, content.count(b"\n") + 1)
    found = read_block(given, 100, deployment)
    texts = iter(found.texts)
    shown = [
        next(texts) if row is None else json.loads(row)["error"]["code"]
        for row in found.rows or [None] * len(found.texts)
    ]
    assert shown == expected
    alone = [read_block(Block(line, number, 1), 100, deployment) for number, line in enumerate(content.split(b"\n"), 1)]
    assert [head for one in alone for head in one.heads] == found.heads
    assert [text for one in alone for text in one.texts] == found.texts


@pytest.mark.anyio
async def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it(deployment):
    mark = codecs.BOM_UTF8
    assert read_block(block(mark + b'{"text": "1"}', b'{"text": "2"}'), 100, deployment).texts == ["1", "2"]
    assert read_block(block(mark + b'"1"', b'"2"'), 100, deployment).texts == ["1", "2"]
    assert read_block(block(mark + b'"1"', first=2), 100, deployment).texts == []
