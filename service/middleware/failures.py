"""Turn every error into an answer; say in the log where one that nobody expected happened."""

from __future__ import annotations

import logging
import traceback

from service.answer import Answer
from service.call import Call
from service.errors import RequestError, error_answer
from service.route import Endpoint

log = logging.getLogger(__name__)


def answer_failures(endpoint: Endpoint) -> Endpoint:
    async def answered(call: Call) -> Answer:
        try:
            return await endpoint(call)
        except RequestError as error:
            return error_answer(error)
        except Exception as error:  # a fault of ours: one request fails, the service goes on
            log_failure(error)
            return error_answer(error)

    return answered


def log_failure(error: Exception) -> None:
    """Type and place. The message only at level debug, since it may quote the text that was classified."""
    frames = traceback.extract_tb(error.__traceback__)
    fields = {
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
        "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    debugging = log.isEnabledFor(logging.DEBUG)
    log.error("request failed", extra={"fields": fields}, exc_info=error if debugging else None)
