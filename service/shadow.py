"""A version that answers the same texts as the live one, unseen: only whether it agrees is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.admission import Admission
from service.deployment import Deployment, Text, text_costs
from service.errors import InvalidRequestError, OverloadedError
from service.metrics import Metrics
from service.middleware.failures import log_failure
from textcnn.types import Prediction

AT_ONCE = 32  # requests; more are not shadowed, for users come first


class Shadow:
    def __init__(self, admission: Admission, metrics: Metrics) -> None:
        self._admission = admission
        self._metrics = metrics
        self._under_way: set[asyncio.Task[None]] = set()

    def follow(self, shadow: Deployment, texts: Sequence[Text], answers: Sequence[Prediction | Exception]) -> None:
        """Have `shadow` answer as well, some time after those who wait."""
        if len(self._under_way) < AT_ONCE:
            task = asyncio.ensure_future(self._answer(shadow, texts, answers))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(
        self, shadow: Deployment, texts: Sequence[Text], answers: Sequence[Prediction | Exception]
    ) -> None:
        try:
            records = shadow.records(texts)
        except InvalidRequestError:  # it is asked in another way than the live one, and cannot be compared
            return
        costs = text_costs(records)
        seconds = shadow.batcher.pace.per_cost * sum(costs)
        try:
            with self._admission.let_in(seconds, sum(costs)), shadow.held():
                found = await shadow.batcher.submit([(text, 1) for text in records], costs)
        except OverloadedError:
            return
        for answer, other in zip(answers, found, strict=True):
            if isinstance(other, Exception):
                log_failure(other)
            elif not isinstance(answer, Exception):
                agreed = "yes" if other.given == answer.given else "no"
                self._metrics.shadow.labels(shadow.name, shadow.version, agreed).inc()
