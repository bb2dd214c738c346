"""Lines of JSON in, lines of JSON out, a block of them at a time. No object a text on the usual way.

Usual is: a line is a string (or an object with a text), the answer ranked labels. Then a block is parsed in one go, the
model's answers stay columns, and lines are written from the columns. Whatever else there is goes through the same
objects as POST /v1/classify: threshold, several labels or tasks, a text on which the model fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from service.deployment import Deployment
from service.errors import CODES, InvalidJSONError, InvalidRequestError, RequestError
from service.routes.classify import check_text, parse_unrepeated, shown
from textcnn.types import Ranking

NOT_A_LINE = 'A line must be a string or {"text": "...", "id": ...}.'


class Block(NamedTuple):
    """Whole lines, the last without its newline. `first` is the number of the first one, `lines` how many they are.

    `too_long`: a single line that was given up, without its content.
    """

    content: bytes
    first: int
    lines: int
    too_long: bool = False


class Texts(NamedTuple):
    """What is to be classified. `heads` has for each text its number, and its id if it has one, as JSON.

    Where some lines are errors, `rows` has one entry a line that is not blank: its answer, or None for a text's.
    """

    texts: list[str]
    heads: list[bytes]
    rows: list[bytes | None] | None = None


def answer_block(
    deployment: Deployment, block: Block, *, top_k: int, threshold: float | None, max_text_chars: int
) -> bytes:
    """The answers to the lines that are not blank, each ended by a newline."""
    if block.too_long:
        return error_line(block.first, _too_long(max_text_chars))
    found = read_block(block, max_text_chars, deployment)
    written = _answered(deployment, found.texts, found.heads, top_k, threshold) if found.texts else b""
    if found.rows is None:
        return written
    answers = iter(written.splitlines(keepends=True))
    return b"".join(next(answers) if row is None else row for row in found.rows)


def _answered(
    deployment: Deployment, texts: list[str], heads: list[bytes], top_k: int, threshold: float | None
) -> bytes:
    if deployment.ranks and threshold is None:
        with suppress(Exception):  # one of the texts makes the model fail; which, is found out below, and logged
            return write_ranking(heads, deployment.rank_now(texts, top_k), deployment.labels)
    outcomes = deployment.classify_now(texts, top_k)
    return b"".join(
        b'{"line":%b,%b\n' % (head, orjson.dumps(answer)[1:])
        for head, answer in zip(heads, shown(outcomes, threshold, all_may_fail=True), strict=True)
    )


def read_block(block: Block, max_text_chars: int, deployment: Deployment) -> Texts:
    """The texts of a block, and the errors of lines that have none."""
    content = block.content
    if content.startswith(b'"') and deployment.texts_per_record == 1:
        # Nothing but strings, the usual case, is parsed in one go. A string cannot go on over a line's end and a blank
        # line makes it no JSON: as many strings as lines are one on each.
        with suppress(orjson.JSONDecodeError):
            texts = orjson.loads(b"[%b]" % content.replace(b"\n", b",\n"))
            if len(texts) == block.lines and set(map(type, texts)) == {str}:
                if max(map(len, texts)) <= max_text_chars:
                    numbers = range(block.first, block.first + block.lines)
                    return Texts(texts, orjson.dumps([*numbers])[1:-1].split(b","))
    texts, heads, rows = [], [], []
    for number, line in enumerate(content.split(b"\n"), block.first):
        if not line.strip():
            continue
        text, head, row = _read(line, number, max_text_chars, deployment)
        rows.append(row)
        if row is None:
            texts.append(text)
            heads.append(head)
    return Texts(texts, heads, rows if len(texts) < len(rows) else None)


def _read(line: bytes, number: int, max_text_chars: int, deployment: Deployment) -> tuple[str, bytes, bytes | None]:
    """Text and head of a line, or the answer to one that has no text that we take."""
    head = b"%d" % number
    try:
        if len(line) > longest_line(max_text_chars):
            raise _too_long(max_text_chars)
        content = parse_unrepeated(line, "line")
        if type(content) is dict:
            if "id" in content:
                head += b',"id":%b' % orjson.dumps(content.pop("id"))
            if content.keys() != {"text"}:
                raise InvalidRequestError(NOT_A_LINE)
            content = content["text"]
        if type(content) not in (str, list):
            raise InvalidRequestError(NOT_A_LINE)
        check_text(content, "text", max_text_chars)
        (record,) = deployment.records([content])
    except (InvalidJSONError, InvalidRequestError) as error:
        return "", head, _error_line(head, error)
    return record, head, None


def write_ranking(heads: Sequence[bytes], ranking: Ranking, labels: tuple[str, ...]) -> bytes:
    """Lines of ranked labels, from the columns: JSON of a row is a few slots in one long list of bytes."""
    table = _table(labels)
    count, top_k = ranking.best.shape
    # all at once; as float64, whose digits are those of POST /v1/classify
    scores = orjson.dumps(ranking.probabilities.astype(np.float64).ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
    probabilities = scores[1:-1].split(b",")
    width = 4 + 2 * top_k
    slots = [b'}]}\n{"line":'] * (count * width)
    slots[::width] = heads
    slots[1::width] = table.label[ranking.best[:, 0]].tolist()
    slots[2::width] = probabilities[::top_k]
    for place in range(top_k):
        before = table.more if place else table.top
        slots[3 + 2 * place :: width] = before[ranking.best[:, place]].tolist()
        slots[4 + 2 * place :: width] = probabilities[place::top_k]
    for row in np.flatnonzero(ranking.abstained).tolist():
        slots[row * width + 1] = b',"label":null,"probability":'
        slots[row * width + width - 1] = b'}],"abstained":true}\n{"line":'
    slots[-1] = slots[-1].removesuffix(b'{"line":')
    return b'{"line":' + b"".join(slots)


class _Table(NamedTuple):
    """What stands before a probability, for each label."""

    label: Any  # bytes[labels], as are the others
    top: Any  # the first of the best
    more: Any  # the others


@lru_cache(maxsize=64)
def _table(labels: tuple[str, ...]) -> _Table:
    quoted = [orjson.dumps(label) for label in labels]
    forms = (b',"label":%b,"probability":', b',"top":[{"label":%b,"probability":', b'},{"label":%b,"probability":')
    return _Table(*(np.array([form % label for label in quoted], object) for form in forms))


def longest_line(max_text_chars: int) -> int:
    """Bytes of a line; JSON may need six for a character."""
    return 6 * max_text_chars + 1000


def error_line(number: int, error: RequestError) -> bytes:
    """What stands in the place of a line that is not answered."""
    return _error_line(b"%d" % number, error)


def _error_line(head: bytes, error: RequestError) -> bytes:
    shown: dict[str, Any] = {"code": CODES[type(error)], "message": str(error)}
    return b'{"line":%b,"error":%b}\n' % (head, orjson.dumps(shown))


def _too_long(max_text_chars: int) -> InvalidRequestError:
    return InvalidRequestError(f"The line has over {longest_line(max_text_chars):,} bytes.")
