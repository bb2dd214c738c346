"""POST /v1/explain: the n-grams behind a label, with their characters and what each adds."""

from __future__ import annotations

from typing import Any

import orjson

from service.answer import JSON, Answer
from service.call import Call
from service.errors import InvalidRequestError
from service.inference import Inference
from service.middleware.failures import log_failure
from service.model_registry import ModelRegistry
from service.predictions import FAILED_TEXT
from service.request_body import check_text, check_texts, parse_unrepeated, request_body
from service.route import Route
from service.routes.classify import ERRORS, MOST_EXPLAINED
from service.schemas import ExplainResponse, ExplainText, ExplainTexts
from service.settings import Settings

FIELDS = frozenset({"text", "texts", "label", "top_n", "method", "model"})
MOST_NGRAMS = 1000
MOST_NGRAMS_TOGETHER = 10_000  # of all texts of a request


def routes(settings: Settings, registry: ModelRegistry, inference: Inference) -> list[Route]:
    limits = {"max_texts": min(MOST_EXPLAINED, settings.max_texts), "max_text_chars": settings.max_text_chars}

    async def explain(call: Call) -> Answer:
        """Why a text gets a label: its n-grams, strongest first, and what each adds to the label's logit."""
        call.need(b"application/json")
        call.refuse_in_query(FIELDS)
        inference.check(call, to_explain=True)
        body = await call.body()
        content = _read(body, **limits)
        deployment = registry.choose(content.get("model", ""))
        label = content.get("label")
        if label is not None and label not in deployment.labels:
            raise InvalidRequestError(f"The model has no label {label[:100]!r}; /v1/models lists them.")
        top_n, method = content.get("top_n", 10), content.get("method")
        if method is not None and method not in deployment.methods:
            raise InvalidRequestError(
                f"This model is not explained by {method[:100]!r} here; "
                f"method is one of {', '.join(deployment.methods)}."
            )
        name = "text" if "text" in content else "texts"
        outcomes = await inference.explain(call, deployment, content["texts"], label, top_n, method, name)
        explanations: list[dict[str, Any]] = []
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if len(failures) == len(outcomes):
            raise failures[0]
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log_failure(outcome)
                explanations.append(FAILED_TEXT)
            else:
                explanations.append(outcome.to_dict())
        return Answer(
            orjson.dumps(
                {
                    "model": deployment.name,
                    "version": deployment.version,
                    "request_id": call.id,
                    "explanations": explanations,
                }
            ),
            headers=[JSON],
        )

    return [
        Route(
            method="POST",
            path="/v1/explain",
            endpoint=explain,
            needs="infer",
            answer=ExplainResponse,
            errors=ERRORS,
            body=request_body(ExplainText, ExplainTexts, **limits),
            tag="explain",
        )
    ]


def _read(body: bytes, *, max_texts: int, max_text_chars: int) -> dict[str, Any]:
    """The body, with `texts` also where it had `text`. Raises InvalidJSONError or InvalidRequestError."""
    content = parse_unrepeated(body)
    if type(content) is not dict or not content.keys() <= FIELDS:
        raise InvalidRequestError(f"The body must be an object; its fields are {', '.join(sorted(FIELDS))}.")
    if ("text" in content) == ("texts" in content):
        raise InvalidRequestError("Give either text (a string) or texts (a list of strings).")
    if "text" in content:
        check_text(content["text"], "text", max_text_chars)
    else:
        check_texts(content["texts"], "texts", max_texts=max_texts, max_text_chars=max_text_chars)
    for name in ("label", "method", "model"):
        if name in content and type(content[name]) is not str and not (name != "model" and content[name] is None):
            raise InvalidRequestError(f"{name} must be a string.")
    top_n = content.get("top_n", 10)
    if type(top_n) is not int or not 0 <= top_n <= MOST_NGRAMS:
        raise InvalidRequestError(f"top_n must be a whole number from 0 to {MOST_NGRAMS:,}.")
    texts = content.get("texts") or [content["text"]]
    if len(texts) * top_n > MOST_NGRAMS_TOGETHER:
        raise InvalidRequestError(
            f"{len(texts)} texts and a top_n of {top_n:,} are more than {MOST_NGRAMS_TOGETHER:,} n-grams together."
        )
    return {**content, "texts": texts}
