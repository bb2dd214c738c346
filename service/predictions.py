"""Predictions as JSON: written from the model's columns where they are ranked labels, by way of objects elsewhere.

An object and a dictionary for each text take twice as long as the model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import orjson

from service.deployment import Deployment
from service.errors import INTERNAL
from service.metrics import Work
from service.middleware.failures import log_failure
from service.native_wire import native
from textcnn.types import Prediction

FAILED_TEXT = {"error": {"code": INTERNAL[0], "message": "The model failed on this text."}}


def answer_texts(
    deployment: Deployment,
    texts: Sequence[str],
    *,
    top_k: int,
    threshold: float | None,
    work: Work,
    heads: Any = None,
) -> bytes:
    """Classify and write, in the thread of bulk work: with `heads` as lines, without as the items of a JSON array.

    `heads` has for each line its number, and its id if it has one, as JSON: a list of bytes, or a
    service._wire.Lines. Without them raises what the model raised, if it did on all texts.
    """
    write = native()
    if write and deployment.ranks and threshold is None:
        ranking = None
        with suppress(Exception):  # one of the texts makes the model fail; which, is found out below, and logged
            ranking = deployment.rank_now(texts, top_k, work)
        if ranking is not None:
            best, abstained = np.ascontiguousarray(ranking.best), np.ascontiguousarray(ranking.abstained)
            # as float64, whose digits are those of Python's numbers
            exact = ranking.probabilities.astype(np.float64).ravel()
            numbers = orjson.dumps(exact, option=orjson.OPT_SERIALIZE_NUMPY)
            written: bytes = write.write(deployment.labels_as_json, best, numbers, abstained, heads)
            return written
    outcomes = deployment.classify_now(texts, top_k, work)
    answers = map(orjson.dumps, shown(outcomes, threshold, all_may_fail=heads is not None))
    if heads is None:
        return b",".join(answers)
    begins = heads if isinstance(heads, list) else heads.heads()
    return b"".join(b'{"line":%b,%b\n' % (head, answer[1:]) for head, answer in zip(begins, answers, strict=True))


def failed_texts(count: int) -> bytes:
    """What stands in the place of texts on which the model failed: items of a JSON array."""
    return b",".join([orjson.dumps(FAILED_TEXT)] * count)


def shown(
    outcomes: Sequence[Prediction | Exception], threshold: float | None = None, *, all_may_fail: bool = False
) -> list[dict[str, Any]]:
    """Predictions as they are sent; of a text on which the model failed, that it did.

    Raises the failure if it failed on all, unless `all_may_fail`.
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for failure in failures[:1]:
        if len(failures) == len(outcomes) and not all_may_fail:
            raise failure
        log_failure(failure)
    return [_shown(outcome, threshold) if isinstance(outcome, Prediction) else FAILED_TEXT for outcome in outcomes]


def _shown(prediction: Prediction, threshold: float | None) -> dict[str, Any]:
    best, top = prediction.top[0], prediction.top
    label: str | None = best.label
    if threshold is not None:
        top = tuple(score for score in top if score.probability >= threshold)
        label = label if top else None
    # orjson writes the frozen LabelScore objects as they are
    found: dict[str, Any] = {"label": label, "probability": best.probability, "top": top}
    if prediction.abstained:
        found |= {"label": None, "abstained": True}
    if prediction.labels is not None:
        found["labels"] = prediction.labels
    if prediction.levels is not None:
        found["levels"] = prediction.levels
    if prediction.tasks is not None:
        found["tasks"] = {task: _shown(answer, threshold) for task, answer in prediction.tasks.items()}
    return found
