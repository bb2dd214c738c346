"""POST /v1/classify: the main job. Kept lean: the body is read once, parsed once, and answered as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from service.answer import JSON, Answer
from service.call import Call
from service.deployment import Deployment, Text
from service.errors import InvalidJSONError, InvalidRequestError
from service.inference import Inference
from service.model_registry import ModelRegistry
from service.native_wire import JsonTexts, texts_apart
from service.predictions import shown
from service.request_body import check_text, check_texts, parse_json, quotes, request_body
from service.route import Route
from service.schemas import ClassifyResponse, ClassifyText, ClassifyTexts
from service.settings import Settings
from service.shadow import Shadow

FIELDS = frozenset({"text", "texts", "top_k", "threshold", "model", "explain"})
MOST_EXPLAINED = 64  # texts; each explanation is some kilobytes
MANY = 32  # texts, from which a request is a batch of its own (measured: docs/LOG.md, 2026-11-22)
TOP_N = 5  # n-grams that `explain` gives of each text
ERRORS = (400, 401, 403, 404, 413, 415, 421, 422, 429, 500, 503, 504)


class Asked(NamedTuple):
    texts: Sequence[Text]
    top_k: int | None = None  # None: one, or all that reach the threshold
    threshold: float | None = None
    model: str = ""
    explain: bool = False
    name: str = "texts"  # of the field they were in


def routes(settings: Settings, registry: ModelRegistry, inference: Inference, shadow: Shadow) -> list[Route]:
    limits = {"max_texts": settings.max_texts, "max_text_chars": settings.max_text_chars}

    async def classify(call: Call) -> Answer:
        """The most probable labels of one text (`text`) or of several (`texts`), best first."""
        call.need(b"application/json")
        call.refuse_in_query(FIELDS)
        inference.check(call)
        asked = parse(await call.body(), **limits)
        deployment = registry.choose(asked.model)
        predictions = await answers(call, asked, deployment)
        about = {"model": deployment.name, "version": deployment.version, "request_id": call.id}
        return Answer(b'%b,"predictions":[%b]}' % (orjson.dumps(about)[:-1], predictions), headers=[JSON])

    async def answers(call: Call, asked: Asked, deployment: Deployment) -> bytes:
        """Items of a JSON array."""
        top_k, other = labels_wanted(asked, deployment), registry.shadow_of(deployment)
        if len(asked.texts) >= MANY and not other and not asked.explain:
            return await inference.answer_many(call, deployment, asked.texts, top_k, asked.threshold)
        outcomes = await inference.classify(call, deployment, asked.texts, top_k, asked.name)
        if other:
            shadow.follow(other, asked.texts, outcomes)
        predictions = shown(outcomes, asked.threshold)
        if asked.explain:
            reasons = await inference.explain(call, deployment, asked.texts, None, TOP_N)
            for prediction, reason in zip(predictions, reasons, strict=True):
                if not isinstance(reason, Exception) and "error" not in prediction:
                    prediction["explanation"] = reason.to_dict()
        return orjson.dumps(predictions)[1:-1]

    return [
        Route(
            method="POST",
            path="/v1/classify",
            endpoint=classify,
            needs="infer",
            answer=ClassifyResponse,
            errors=ERRORS,
            body=request_body(ClassifyText, ClassifyTexts, **limits),
            tag="classify",
        )
    ]


def labels_wanted(asked: Asked, deployment: Deployment) -> int:
    """How many labels of each text have to be computed. Raises InvalidRequestError if the model has not as many."""
    count = len(deployment.labels)
    if asked.top_k is None:
        return 1 if asked.threshold is None else count
    if asked.top_k > count:
        raise InvalidRequestError(f"top_k is {asked.top_k}, but the model has {count} labels.")
    return asked.top_k


def parse(body: bytes, *, max_texts: int, max_text_chars: int) -> Asked:
    """What a request body asks for. Raises InvalidJSONError or InvalidRequestError."""
    content, many = _apart(body, max_texts, max_text_chars) or (parse_json(body), None)
    if type(content) is not dict:
        raise InvalidRequestError('The body must be an object: {"text": "..."} or {"texts": ["...", "..."]}.')
    if not content.keys() <= FIELDS:
        names = ", ".join(repr(name[:40]) for name in sorted(content.keys() - FIELDS)[:3])
        raise InvalidRequestError(f"Unknown field {names}; there are {', '.join(sorted(FIELDS))}.")
    if ("text" in content) == ("texts" in content):
        raise InvalidRequestError("Give either text (a string) or texts (a list of strings).")
    name = "text" if "text" in content else "texts"
    if name == "text":
        given = [content["text"]]
        check_text(given[0], "text", max_text_chars)
    else:
        given = content["texts"]
        if many is None:
            check_texts(given, "texts", max_texts=max_texts, max_text_chars=max_text_chars)
    texts = given if many is None else many
    top_k: Any = content.get("top_k")
    threshold: Any = content.get("threshold")
    model = content.get("model", "")
    if "top_k" in content and (type(top_k) is not int or top_k < 1):
        raise InvalidRequestError("top_k must be a whole number, 1 or more.")
    if "threshold" in content and (type(threshold) not in (int, float) or not 0 <= threshold <= 1):
        raise InvalidRequestError("threshold must be a number from 0 to 1.")
    if type(model) is not str:
        raise InvalidRequestError("model must be a string: name, name/version or name/alias.")
    explain = content.get("explain", False)
    if type(explain) is not bool:
        raise InvalidRequestError("explain must be true or false.")
    if explain and len(texts) > MOST_EXPLAINED:
        raise InvalidRequestError(f"{len(texts):,} texts to explain in one request; at most {MOST_EXPLAINED}.")
    if many is None and not _strings_are(content, given, body):
        raise InvalidJSONError("The body gives a field twice.")
    return Asked(texts, top_k, threshold, model, explain, name)


def _apart(body: bytes, most: int, longest: int) -> tuple[dict[str, Any], JsonTexts] | None:
    """A body of many texts: its content without them, and they.

    None for any other, and where something is wrong with it: what, is said of the whole.
    """
    found = texts_apart(body)
    if found is None:
        return None
    texts, rest = found
    if not MANY <= len(texts) <= most or texts.lengths.max() > longest:
        return None
    with suppress(InvalidJSONError):
        content = parse_json(rest)
        if _strings_are(content, [], rest):
            return content, texts
    return None


def _strings_are(content: dict[str, Any], texts: Sequence[Text], body: bytes) -> bool:
    """Whether keys, texts and the model are all the strings there are, each between two quotes.

    Where there are more, a key is given twice.
    """
    more = quotes(body) - 2 * (len(content) + len(texts) + ("model" in content))
    return not more or more == 2 * sum(len(text) - 1 for text in texts if type(text) is list)
