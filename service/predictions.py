"""Predictions as JSON: written from the model's columns where they are ranked labels, by way of objects elsewhere.

An object and a dictionary for each text take twice as long as the model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from service.deployment import Deployment
from service.errors import INTERNAL
from service.metrics import Work
from service.middleware.failures import log_failure
from textcnn.types import Prediction, Ranking

FAILED_TEXT = {"error": {"code": INTERNAL[0], "message": "The model failed on this text."}}


def answer_texts(
    deployment: Deployment,
    texts: Sequence[str],
    *,
    top_k: int,
    threshold: float | None,
    work: Work,
    heads: Sequence[bytes] | None = None,
) -> bytes:
    """Classify and write, in the thread of bulk work: with `heads` as lines, without as the items of a JSON array.

    Without `heads` raises what the model raised, if it did on all of them.
    """
    if deployment.ranks and threshold is None:
        with suppress(Exception):  # one of the texts makes the model fail; which, is found out below, and logged
            return write_ranking(deployment.rank_now(texts, top_k, work), deployment.labels, heads)
    outcomes = deployment.classify_now(texts, top_k, work)
    answers = map(orjson.dumps, shown(outcomes, threshold, all_may_fail=heads is not None))
    if heads is None:
        return b",".join(answers)
    return b"".join(b'{"line":%b,%b\n' % (head, answer[1:]) for head, answer in zip(heads, answers, strict=True))


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


def write_ranking(ranking: Ranking, labels: tuple[str, ...], heads: Sequence[bytes] | None = None) -> bytes:
    """Ranked labels from the columns: JSON of a text is a few slots in one long list of bytes.

    With `heads` each is a line that begins so; without they are the items of an array.
    """
    lead, begin, between = (0, b"{", b",") if heads is None else (1, b'{"line":', b"\n")
    table = _table(labels, b"," if lead else b"")
    count, top_k = ranking.best.shape
    # all at once; as float64, whose digits are those of Python's numbers
    scores = orjson.dumps(ranking.probabilities.astype(np.float64).ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
    probabilities = scores[1:-1].split(b",")
    width = lead + 3 + 2 * top_k
    slots = [b"}]}" + between + begin] * (count * width)
    if heads is not None:
        slots[::width] = heads
    slots[lead::width] = table.label[ranking.best[:, 0]].tolist()
    slots[lead + 1 :: width] = probabilities[::top_k]
    for place in range(top_k):
        before = table.more if place else table.top
        slots[lead + 2 + 2 * place :: width] = before[ranking.best[:, place]].tolist()
        slots[lead + 3 + 2 * place :: width] = probabilities[place::top_k]
    for row in np.flatnonzero(ranking.abstained).tolist():
        slots[row * width + lead] = table.none
        slots[(row + 1) * width - 1] = b'}],"abstained":true}' + between + begin
    slots[-1] = slots[-1].removesuffix(begin) if lead else slots[-1].removesuffix(between + begin)
    return begin + b"".join(slots)


class _Table(NamedTuple):
    """What stands before a probability, for each label."""

    label: Any  # bytes[labels], as are the others
    top: Any  # the first of the best
    more: Any  # the others
    none: bytes  # in the place of `label` where there is none


@lru_cache(maxsize=64)
def _table(labels: tuple[str, ...], first: bytes) -> _Table:
    quoted = [orjson.dumps(label) for label in labels]

    def before(form: bytes) -> Any:
        return np.array([form % label for label in quoted], object)

    label = first + b'"label":%b,"probability":'
    top, more = before(b',"top":[{"label":%b,"probability":'), before(b'},{"label":%b,"probability":')
    return _Table(before(label), top, more, label % b"null")
