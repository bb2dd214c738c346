"""POST /v1/feedback: a text and the label that is right. Only there where a folder was given to keep it in.

Texts that were read together are kept as text_1, text_2 and so on, columns that training can be told to read.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson

from service.answer import Answer, json_answer
from service.batcher import MicroBatcher
from service.call import Call
from service.errors import InvalidRequestError, NotKeptError, NotReadyError, OverloadedError, UnknownModelError
from service.feedback import FeedbackLog
from service.metrics import Metrics
from service.model_registry import ModelRegistry
from service.request_body import check_text, parse_unrepeated, validated
from service.route import Route
from service.routes.classify import ERRORS
from service.schemas import Feedback, FeedbackResponse, Text
from service.settings import Settings

FIELDS = frozenset(Feedback.model_fields)
MOST_WAITING = 1000
RETRY_SECONDS = "60"  # a full disk takes somebody to look at it

log = logging.getLogger(__name__)


def routes(settings: Settings, registry: ModelRegistry, metrics: Metrics) -> list[Route]:
    if settings.feedback is None:
        return []
    kept = FeedbackLog(settings.feedback, max_bytes=int(settings.feedback_file_bytes))
    writer: MicroBatcher[bytes, None] | None = None
    waiting = 0

    async def keep_feedback(call: Call) -> Answer:
        """Keep a text with the label that is right, for training later. Answered when it is on the disk."""
        nonlocal writer, waiting
        call.need(b"application/json")
        call.refuse_in_query(FIELDS)
        content = parse_unrepeated(await call.body())
        if type(content) is dict and "text" in content:
            check_text(content["text"], "text", settings.max_text_chars)
        given = validated(Feedback, content)
        _check_number(given, registry)
        if waiting >= MOST_WAITING:
            raise OverloadedError("The disk does not keep up; try again.", headers={"retry-after": "1"})
        if writer is None:
            # never on the event loop: how long a disk takes is not known
            writer = MicroBatcher(kept.append, inline_seconds=-1, name="feedback")
        line = orjson.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "key": call.key.name if call.key else None,
                **_columns(given.text),
                **given.model_dump(exclude_none=True, exclude={"text"}),
            }
        )
        waiting += 1
        try:
            (outcome,) = await writer.submit([line], [len(line)])
        finally:
            waiting -= 1
        if isinstance(outcome, OSError):
            metrics.feedback_failures.inc()
            log.error("feedback is not kept: %s", outcome)
            reason = outcome.strerror or "the disk fails"  # without the path
            raise NotKeptError(f"Not kept: {reason}. Send it again later.", headers={"retry-after": RETRY_SECONDS})
        if isinstance(outcome, Exception):
            raise outcome
        metrics.feedback.inc()
        return json_answer({"kept": True, "request_id": call.id})

    body = {"required": True, "content": {"application/json": {"schema": Feedback.model_json_schema()}}}
    return [
        Route(
            method="POST",
            path="/v1/feedback",
            endpoint=keep_feedback,
            needs="infer",
            answer=FeedbackResponse,
            errors=(*(status for status in ERRORS if status not in (404, 503, 504)), 507),
            body=body,
            tag="feedback",
        )
    ]


def _check_number(given: Feedback, registry: ModelRegistry) -> None:
    """Raises InvalidRequestError for a text that the model does not read so, as far as the model is known."""
    asked = "/".join(filter(None, (given.model, given.version if given.model else None)))
    try:
        deployment = registry.choose(asked)
    except (UnknownModelError, NotReadyError, InvalidRequestError):
        return
    deployment.records([given.text], "text")


def _columns(text: Text) -> dict[str, str]:
    if isinstance(text, str):
        return {"text": text}
    return {f"text_{number}": part for number, part in enumerate(text, 1)}
