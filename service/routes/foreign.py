"""What the routes in other servers' formats share: texts in, all labels out, and errors in their own shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from service.answer import Answer, json_answer
from service.call import Call
from service.deployment import Deployment
from service.errors import INTERNAL, TABLE, InvalidRequestError, RequestError
from service.foreign_schemas import Plain
from service.inference import Inference
from service.middleware.failures import log_failure
from service.model_registry import ModelRegistry
from service.plan import NAME
from service.request_body import check_texts, parse_unrepeated
from service.route import Endpoint
from service.settings import Settings
from textcnn.types import Prediction

Shape = Callable[[int, str, str], tuple[int, Any]]  # status, code, message -> status, body

ERRORS = (400, 401, 403, 404, 405, 413, 415, 421, 422, 429, 500, 503, 504)
TAG = "other servers' formats"
NAMED = {
    name: {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": NAME}}
    for name in ("name", "version")
}


def documented(path: str, answer: type, *, body: type[BaseModel] | None = None, error: type = Plain) -> dict[str, Any]:
    """Of a Route: its path and its documentation."""
    found: dict[str, Any] = {"path": path, "answer": answer, "error": error, "tag": TAG}
    found["parameters"] = tuple(schema for name, schema in NAMED.items() if f"{{{name}}}" in path)
    if body:
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        parts = schema.pop("$defs", {})
        found["body"] = {"required": True, "content": {"application/json": {"schema": inlined(schema, parts)}}}
    return found


def inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """The schema with what it refers to in its place."""
    if isinstance(schema, list):
        return [inlined(part, parts) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {key: inlined(value, parts) for key, value in schema.items()}


class Foreign:
    """Reads bodies and classifies, for all formats alike."""

    def __init__(self, settings: Settings, registry: ModelRegistry, inference: Inference) -> None:
        self.settings = settings
        self.registry = registry
        self._inference = inference

    async def read(self, call: Call) -> dict[str, Any]:
        """The body, an object. Raises RequestError."""
        call.need(b"application/json")
        self._inference.check(call)
        content = parse_unrepeated(await call.body())
        if type(content) is not dict:
            raise InvalidRequestError("The body must be a JSON object.")
        return content

    async def classify(
        self,
        call: Call,
        deployment: Deployment,
        texts: Sequence[Any],
        name: str,
        top_k: int | None = None,
        *,
        says_tasks: bool = False,
    ) -> list[Prediction]:
        """The `top_k` labels of each text (None: all), best first; `name` is where they stood. Raises RequestError.

        A model with several tasks is refused unless the format `says_tasks`.
        """
        if deployment.head["type"] == "multi_task" and not says_tasks:
            raise InvalidRequestError(
                "This model answers for several tasks, and this format for one; ask /v1/classify."
            )
        check_texts(texts, name, max_texts=self.settings.max_texts, max_text_chars=self.settings.max_text_chars)
        count = len(deployment.labels)
        outcomes = await self._inference.classify(call, deployment, texts, min(top_k or count, count), name)
        predictions = []
        for outcome in outcomes:
            # these formats have no place for the failure of one text
            if isinstance(outcome, Exception):
                raise outcome
            predictions.append(outcome)
        return predictions


def in_order(prediction: Prediction, labels: Sequence[str]) -> list[float]:
    """The probability of each of all `labels`."""
    by_label = {score.label: score.probability for score in prediction.top}
    return [by_label[label] for label in labels]


def errors_as(shape: Shape) -> Callable[[Endpoint], Endpoint]:
    """Errors of an endpoint in another shape than ours; status and headers stay unless `shape` changes them."""

    def wrap(endpoint: Endpoint) -> Endpoint:
        async def answered(call: Call) -> Answer:
            try:
                return await endpoint(call)
            except RequestError as error:
                status, code = TABLE[type(error)]
                status, body = shape(status, code, str(error))
                return json_answer(body, status=status, headers=error.headers)
            except Exception as error:  # a fault of ours: one request fails, the service goes on
                log_failure(error)
                status, body = shape(500, *INTERNAL)
                return json_answer(body, status=status)

        answered.__name__, answered.__doc__ = endpoint.__name__, endpoint.__doc__
        return answered

    return wrap


def plain_error(status: int, code: str, message: str) -> tuple[int, Any]:
    """`{"error": message}`, which most of them use."""
    return status, {"error": message}


def flag(content: dict[str, Any], name: str) -> bool:
    """A boolean that may be missing or null. Raises InvalidRequestError."""
    value = content.get(name)
    if value is not None and type(value) is not bool:
        raise InvalidRequestError(f"{name} must be true or false.")
    return bool(value)


def whole(value: Any, name: str) -> int | None:
    """A whole number of 1 or more, or None. Raises InvalidRequestError."""
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidRequestError(f"{name} must be a whole number, 1 or more.")
    return value
