"""Lines of JSON in, lines of JSON out, a block of them at a time. No object a text on the usual way.

Usual is: a line is a string (or an object with a text), the answer ranked labels. Then compiled code finds the texts,
the model reads them where they stand, its answers stay columns, and lines are written from the columns. Whatever else
there is goes through the same objects as POST /v1/classify: a line that is told what is wrong with it, a threshold,
several labels or tasks, a text on which the model fails.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson

from service.deployment import Deployment
from service.errors import CODES, InvalidJSONError, InvalidRequestError, RequestError
from service.native_wire import JsonTexts, native
from service.predictions import answer_texts
from service.request_body import check_text, parse_unrepeated

NOT_A_LINE = 'A line must be a string or {"text": "...", "id": ...}.'


class Block(NamedTuple):
    """Whole lines, the last without its newline. `first` is the number of the first one, `lines` how many they are.

    `too_long`: a single line that was given up, without its content.
    """

    content: bytes
    first: int
    lines: int
    too_long: bool = False


def answer_block(
    deployment: Deployment, block: Block, *, top_k: int, threshold: float | None, max_text_chars: int
) -> bytes:
    """The answers to the lines that are not blank, each ended by a newline."""
    if block.too_long:
        return error_line(block.first, _too_long(max_text_chars))
    content = block.content.removeprefix(codecs.BOM_UTF8) if block.first == 1 else block.content
    answer = partial(answer_texts, deployment, top_k=top_k, threshold=threshold, work="stream")
    module, usual, written = native(), None, b""
    if module and deployment.texts_per_record == 1:
        usual = module.Lines(content, block.first, max_text_chars, longest_line(max_text_chars))
        written = answer(JsonTexts(usual), heads=usual) if len(usual) else b""
        others = usual.others
    else:
        others = [*enumerate(content.split(b"\n"), block.first)]
    if not others:
        return written
    answers = _answer_each(others, max_text_chars, deployment, answer)
    if usual:
        numbers = [int(head.partition(b",")[0]) for head in usual.heads()]
        answers |= dict(zip(numbers, written.splitlines(keepends=True), strict=True))
    return b"".join(answers[number] for number in sorted(answers))


def _answer_each(
    lines: Sequence[tuple[int, bytes]], max_text_chars: int, deployment: Deployment, answer: Callable[..., bytes]
) -> dict[int, bytes]:
    """The answers to some lines by their numbers; a blank line has none."""
    answers, texts, heads, numbers = {}, [], [], []
    for number, line in lines:
        if not line.strip():
            continue
        text, head, error = _read(line, number, max_text_chars, deployment)
        if error is not None:
            answers[number] = error
        else:
            texts.append(text)
            heads.append(head)
            numbers.append(number)
    if texts:
        answers |= dict(zip(numbers, answer(texts, heads=heads).splitlines(keepends=True), strict=True))
    return answers


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
