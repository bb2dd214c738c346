"""POST /v1/classify: the main job. Kept lean: the body is read once, parsed once, and answered as bytes."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

import orjson
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from service.errors import InvalidJSONError, InvalidRequestError, UnsupportedMediaTypeError, json_response
from service.metrics import Metrics
from service.model_registry import ModelRegistry
from service.request_context import REQUEST_ID
from service.routes.lean import LeanRoute, documented
from service.schemas import ClassifyResponse, ClassifyText, ClassifyTexts
from service.settings import Settings

FIELDS = frozenset({"text", "texts", "top_k"})


def routes(settings: Settings, registry: ModelRegistry, metrics: Metrics, limiter: CapacityLimiter) -> list[LeanRoute]:
    """`limiter` bounds how many requests are in the model at once."""

    async def classify(request: Request) -> Response:
        """The most probable labels of one text (`text`) or of several (`texts`), best first."""
        classifier = registry.get()
        check_headers(request)
        texts, top_k = parse(await request.body(), max_texts=settings.max_texts, max_text_chars=settings.max_text_chars)
        if top_k > len(classifier.classes_):
            raise InvalidRequestError(f"top_k is {top_k}, but the model has {len(classifier.classes_)} labels.")
        start = perf_counter()
        # In a thread, so that the loop goes on answering the others meanwhile.
        predictions = await to_thread.run_sync(partial(classifier.classify, texts, top_k=top_k), limiter=limiter)
        metrics.classify_seconds.observe(perf_counter() - start)
        metrics.texts.inc(len(texts))
        return json_response(
            {
                "model": classifier.name,
                "version": classifier.version,
                "request_id": REQUEST_ID.get(),
                "predictions": [
                    # orjson writes the frozen LabelScore objects of `top` as they are
                    {"label": prediction.label, "probability": prediction.probability, "top": prediction.top}
                    for prediction in predictions
                ],
            }
        )

    route = LeanRoute(
        "/v1/classify",
        classify,
        methods=["POST"],
        response_model=ClassifyResponse,
        responses=documented(400, 413, 415, 422, 500, 503),
        openapi_extra={"requestBody": request_body(settings)},
        tags=["classify"],
    )
    return [route]


def check_headers(request: Request) -> None:
    """Raises UnsupportedMediaTypeError unless the body is declared as plain JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaTypeError("Send JSON, and say so in the header: Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("Send the body as it is, without Content-Encoding.")


def parse(body: bytes, *, max_texts: int, max_text_chars: int) -> tuple[list[str], int]:
    """Texts and top_k of a request body. Raises InvalidJSONError or InvalidRequestError."""
    try:
        # Refuses NaN, Infinity, lone surrogates, bad UTF-8 and more than 1024 levels, and never quotes the body.
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJSONError(f"The body is not JSON: {error}.") from None
    if type(content) is not dict:
        raise InvalidRequestError('The body must be an object: {"text": "..."} or {"texts": ["...", "..."]}.')
    if unknown := content.keys() - FIELDS:
        names = ", ".join(repr(name[:40]) for name in sorted(unknown)[:3])
        raise InvalidRequestError(f"Unknown field {names}; there are text, texts and top_k.")
    if ("text" in content) == ("texts" in content):
        raise InvalidRequestError("Give either text (a string) or texts (a list of strings).")
    texts = [content["text"]] if "text" in content else content["texts"]
    if type(texts) is not list:
        raise InvalidRequestError("texts must be a list of strings; for a single string use text.")
    if not texts:
        raise InvalidRequestError("texts is empty; give at least one.")
    if len(texts) > max_texts:
        raise InvalidRequestError(f"{len(texts):,} texts in one request; at most {max_texts:,}.")
    for index, text in enumerate(texts):
        where = "text" if "text" in content else f"texts[{index}]"
        if type(text) is not str:
            raise InvalidRequestError(f"{where} must be a string.")
        if len(text) > max_text_chars:
            raise InvalidRequestError(f"{where} has {len(text):,} characters; at most {max_text_chars:,}.")
    top_k = content.get("top_k", 1)
    if type(top_k) is not int or top_k < 1:
        raise InvalidRequestError("top_k must be a whole number, 1 or more.")
    # Keys and texts are all the strings there are, each between two quotes; more quotes belong to a key given twice.
    if quotes(body) != 2 * (len(content) + len(texts)):
        raise InvalidJSONError("The body gives a field twice.")
    return texts, top_k


def quotes(body: bytes) -> int:
    """Quotation marks that open or close a string in valid JSON."""
    count = body.count(b'"')
    if b"\\" in body:
        # Of a run of backslashes only an odd last one escapes what follows.
        count -= body.replace(rb"\\", b"").count(b'\\"')
    return count


def request_body(settings: Settings) -> dict[str, Any]:
    """OpenAPI of the request, with the limits that are in force."""
    one, several = ClassifyText.model_json_schema(), ClassifyTexts.model_json_schema()
    one["properties"]["text"]["maxLength"] = settings.max_text_chars
    several["properties"]["texts"]["items"]["maxLength"] = settings.max_text_chars
    several["properties"]["texts"]["maxItems"] = settings.max_texts
    return {"required": True, "content": {"application/json": {"schema": {"oneOf": [one, several]}}}}
