"""Lines of JSON in, lines of JSON out, a block of them at a time. No object a text on the usual way.

Usual is: a line is a string (or an object with a text), the answer ranked labels. Then a block is parsed in one go, the
model's answers stay columns, and lines are written from the columns. Whatever else there is goes through the same
objects as POST /v1/classify: threshold, several labels or tasks, a text on which the model fails.
"""

from __future__ import annotations

import codecs
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from service.deployment import Deployment
from service.errors import CODES, InvalidJSONError, InvalidRequestError, RequestError
from service.predictions import answer_texts
from service.routes.classify import check_text, parse_unrepeated

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
    written = b""
    if found.texts:
        written = answer_texts(
            deployment, found.texts, top_k=top_k, threshold=threshold, work="stream", heads=found.heads
        )
    if found.rows is None:
        return written
    answers = iter(written.splitlines(keepends=True))
    return b"".join(next(answers) if row is None else row for row in found.rows)


def read_block(block: Block, max_text_chars: int, deployment: Deployment) -> Texts:
    """The texts of a block, and the errors of lines that have none."""
    content = block.content.removeprefix(codecs.BOM_UTF8) if block.first == 1 else block.content
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
        (record,) = deployment.records([content], "text")
    except (InvalidJSONError, InvalidRequestError) as error:
        return "", head, _error_line(head, error)
    return record, head, None


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
