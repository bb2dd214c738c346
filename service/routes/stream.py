"""POST /v1/classify/stream: NDJSON both ways. As many texts as you like in one request, answered as they come.

A line is a text in quotes, or {"text": "...", "id": anything}, where the text is a list if the model reads several
together; the answer is a line in the same place. A line that cannot be used gets an error and the rest go on. Nothing
is held but a window of lines: while the client does not take answers we do not read, so neither side runs full.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson

from service.answer import Answer, Stream
from service.call import Call
from service.deployment import Deployment, Text
from service.errors import (
    TABLE,
    ClientGoneError,
    InvalidJSONError,
    InvalidRequestError,
    RequestError,
    UnsupportedMediaTypeError,
)
from service.inference import Inference, Outcome
from service.model_registry import ModelRegistry
from service.route import Route
from service.routes.classify import ERRORS, Asked, check_text, labels_wanted, parse_unrepeated, shown
from service.settings import Settings
from textcnn.types import Prediction

MEDIA_TYPES = (b"application/x-ndjson", b"application/jsonl", b"application/ndjson")
HEADERS = [(b"content-type", b"application/x-ndjson"), (b"x-accel-buffering", b"no")]
LINES_AT_ONCE = 256
WINDOW = 4  # batches of lines under way: one read, some in the model, one written
NOT_A_LINE = 'A line must be a string or {"text": "...", "id": ...}.'
PARAMETERS = tuple(
    {"name": name, "in": "query", "required": False, "schema": schema}
    for name, schema in (
        ("top_k", {"type": "integer", "minimum": 1, "default": 1}),
        ("threshold", {"type": "number", "minimum": 0, "maximum": 1}),
        ("model", {"type": "string"}),
    )
)
BODY = {
    "required": True,
    "content": {"application/x-ndjson": {"schema": {"type": "string", "examples": ['{"text": "a text", "id": 1}\n']}}},
}

NOTHING: dict[str, Any] = {}
Line = tuple[int, Text | None, dict[str, Any]]  # number; the text or None; id or error, to be sent back


def routes(settings: Settings, registry: ModelRegistry, inference: Inference) -> list[Route]:
    async def classify_stream(call: Call) -> Answer:
        """Labels for a stream of texts: one JSON value a line in (a string or an object with `text`), one a line out.

        Each answer has the number of its line, `id` if one was given, and either the prediction or `error`.
        """
        if call.media_type() not in MEDIA_TYPES:
            raise UnsupportedMediaTypeError("Send lines of JSON: Content-Type: application/x-ndjson.")
        asked = _asked(call)
        deployment = registry.choose(asked.model)
        top_k = labels_wanted(asked, deployment)
        inference.check(call)

        async def answers() -> AsyncIterator[bytes]:
            under_way: deque[asyncio.Task[bytes]] = deque()
            try:
                async for lines in _lines(call, settings):
                    work = _classify_lines(inference, call, deployment, lines, top_k, asked.threshold)
                    under_way.append(asyncio.ensure_future(work))
                    while under_way and (len(under_way) >= WINDOW or under_way[0].done()):
                        yield await under_way.popleft()
                while under_way:
                    yield await under_way.popleft()
            finally:
                for task in under_way:
                    task.cancel()

        return Stream(answers(), [*HEADERS])

    return [
        Route(
            method="POST",
            path="/v1/classify/stream",
            endpoint=classify_stream,
            needs="infer",
            streams=True,
            answer_type="application/x-ndjson",
            errors=ERRORS,
            parameters=PARAMETERS,
            body=BODY,
            tag="classify",
        )
    ]


async def _lines(call: Call, settings: Settings) -> AsyncIterator[list[Line]]:
    """The lines as they come, at most LINES_AT_ONCE together; waiting for no more than is there."""
    longest = _longest(settings)
    number, rest, skipping = 0, b"", False
    try:
        async for piece in call.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            if skipping and whole:
                whole, skipping = whole[1:], False
            found = _parsed(whole, number + 1, settings)
            number += len(whole)
            if len(rest) > longest:
                if not skipping:
                    number += 1
                    found.append((number, None, _too_long(settings)))
                rest, skipping = b"", True
            for start in range(0, len(found), LINES_AT_ONCE):
                yield found[start : start + LINES_AT_ONCE]
    except ClientGoneError:
        return
    if rest.strip() and not skipping:
        yield [_line(rest, number + 1, settings)]


def _parsed(lines: list[bytes], first: int, settings: Settings) -> list[Line]:
    """Lines that are not blank, numbered from `first`."""
    if all(line[:1] == line[-1:] == b'"' for line in lines):
        # Nothing but strings, the usual case, is parsed in one go. A string cannot go on over a line's end, so no line
        # can join the next; one that holds several makes the counts differ, and then each is looked at by itself.
        with contextlib.suppress(orjson.JSONDecodeError):
            texts = orjson.loads(b"[" + b"\n,\n".join(lines) + b"]")
            longest = settings.max_text_chars
            if len(texts) == len(lines) and all(type(text) is str and len(text) <= longest for text in texts):
                return [(number, text, NOTHING) for number, text in enumerate(texts, first)]
    return [_line(line, number, settings) for number, line in enumerate(lines, first) if line.strip()]


def _longest(settings: Settings) -> int:
    """Bytes of a line; JSON may need six for a character."""
    return 6 * settings.max_text_chars + 1000


def _too_long(settings: Settings) -> dict[str, Any]:
    return _error(InvalidRequestError(f"The line has over {_longest(settings):,} bytes."))


def _line(line: bytes, number: int, settings: Settings) -> Line:
    if len(line) > _longest(settings):
        return number, None, _too_long(settings)
    try:
        content = parse_unrepeated(line, "line")
    except InvalidJSONError as error:
        return number, None, _error(error)
    more = NOTHING
    if type(content) is dict:
        if "id" in content:
            more = {"id": content["id"]}
        if content.keys() - {"text", "id"} or "text" not in content:
            return number, None, {**more, **_error(InvalidRequestError(NOT_A_LINE))}
        content = content["text"]
    try:
        if type(content) not in (str, list):
            raise InvalidRequestError(NOT_A_LINE)
        check_text(content, "text", settings.max_text_chars)
    except InvalidRequestError as error:
        return number, None, {**more, **_error(error)}
    return number, content, more


async def _classify_lines(
    inference: Inference, call: Call, deployment: Deployment, lines: list[Line], top_k: int, threshold: float | None
) -> bytes:
    """The answers to some lines, each ended by a newline."""
    if deployment.texts_per_record > 1 or any(type(text) is list for _, text, _ in lines):
        lines = [_suited(line, deployment) for line in lines]
    texts = [text for _, text, _ in lines if text is not None]
    outcomes = await inference.classify_part(call, deployment, texts, top_k) if texts else []
    if top_k == 1 and threshold is None and all(more is NOTHING for _, _, more in lines):
        if len(outcomes) == len(lines) and all(map(_is_plain, outcomes)):
            return _written(lines, cast(list[Prediction], outcomes), deployment.quoted_labels)
    predictions = iter(shown(outcomes, threshold, all_may_fail=True))
    # orjson has no lines: each is written by itself
    return b"".join(
        orjson.dumps(
            {"line": number, **more, **(next(predictions) if text is not None else {})},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for number, text, more in lines
    )


def _suited(line: Line, deployment: Deployment) -> Line:
    """The line, with an error in place of a text that the model does not read so."""
    number, text, more = line
    try:
        deployment.records([] if text is None else [text])
    except InvalidRequestError as error:
        return number, None, {**more, **_error(error)}
    return line


def _is_plain(outcome: Outcome) -> bool:
    """Whether the best label is all there is to say."""
    if isinstance(outcome, Exception) or outcome.abstained:
        return False
    return outcome.labels is None and outcome.levels is None and outcome.tasks is None


def _written(lines: list[Line], predictions: list[Prediction], quoted: dict[str, str]) -> bytes:
    """The usual answers, best label only, by hand: twice as fast as through dictionaries."""
    parts = []
    for (number, _, _), prediction in zip(lines, predictions, strict=True):
        best = prediction.top[0]
        score = f'"label":{quoted[best.label]},"probability":{best.probability!r}'
        parts.append(f'{{"line":{number},{score},"top":[{{{score}}}]}}\n')
    return "".join(parts).encode()


def _error(error: RequestError) -> dict[str, Any]:
    return {"error": {"code": TABLE[type(error)][1], "message": str(error)}}


def _asked(call: Call) -> Asked:
    """The options in the query. Raises InvalidRequestError."""
    given: dict[str, str] = {}
    for name, value in call.query():
        if name not in ("top_k", "threshold", "model") or name in given:
            raise InvalidRequestError("The query takes top_k, threshold and model, each once.")
        given[name] = value
    top_k, threshold = given.get("top_k"), given.get("threshold")
    if top_k is not None and not re.fullmatch("[1-9][0-9]{0,8}", top_k):
        raise InvalidRequestError("top_k must be a whole number, 1 or more.")
    if threshold is not None and not re.fullmatch(r"0(\.[0-9]{1,20})?|1(\.0{1,20})?", threshold):
        raise InvalidRequestError("threshold must be a number from 0 to 1.")
    return Asked(
        [], int(top_k) if top_k else None, float(threshold) if threshold is not None else None, given.get("model", "")
    )
