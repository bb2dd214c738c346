"""From texts to predictions: let in, batched, given up where the client left or its time is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from time import monotonic, perf_counter
from typing import Any, TypeVar

from service.admission import Admission, RateLimits, Refused
from service.batcher import DeadlinePassedError, MicroBatcher
from service.call import Call
from service.deployment import TEXT_COST, Deployment, Question, Text, explanation_cost, text_costs
from service.errors import ClientGoneError, DeadlineError, InvalidRequestError
from service.middleware.failures import log_failure
from service.predictions import answer_texts, failed_texts
from textcnn.types import Explanation, ExplanationMethod, Prediction

Outcome = Prediction | Exception
Item = TypeVar("Item")
Result = TypeVar("Result")

STREAM_PAUSE = 0.01  # seconds between looks at a full queue
TIMEOUT_HEADER = b"x-request-timeout-ms"


class Inference:
    """Shared by all routes that classify."""

    def __init__(
        self,
        admission: Admission,
        explaining: Admission,
        rates: RateLimits,
        *,
        max_timeout_ms: int,
        refused: Refused = lambda reason, count: None,
    ) -> None:
        self._refused = refused
        self._admission = admission
        self._explaining = explaining  # apart: one explanation may cost as much as hundreds of classifications
        self._rates = rates
        self._max_timeout_ms = max_timeout_ms

    def check(self, call: Call, *, to_explain: bool = False) -> None:
        """Before the body is read. Raises OverloadedError, or DeadlineError if it came to its turn too late."""
        (self._explaining if to_explain else self._admission).check(call.declared_bytes)
        self._deadline(call)

    async def classify(
        self, call: Call, deployment: Deployment, texts: Sequence[Text], top_k: int, name: str = "texts"
    ) -> list[Outcome]:
        """A prediction for each text, or the exception that it alone caused; `name` as in Deployment.records.

        Raises InvalidRequestError for a text that the model does not read so, OverloadedError, RateLimitedError,
        DeadlineError, ClientGoneError.
        """
        records = deployment.records(texts, name)
        work = [(text, top_k) for text in records]
        costs = text_costs(records)
        size = sum(costs)
        seconds = _forecast(deployment, deployment.batcher, size)
        return await self._run(
            call, deployment, deployment.batcher, self._admission, work, costs, seconds, size, len(work)
        )

    async def answer_many(
        self, call: Call, deployment: Deployment, texts: Sequence[Text], top_k: int, threshold: float | None
    ) -> bytes:
        """As `classify`, for texts that are batches by themselves: the items of a JSON array.

        Raises what the model raised as well, if it did on all of them.
        """
        records = deployment.records(texts)
        costs = text_costs(records)
        pieces = deployment.pieces(costs)
        answer = partial(answer_texts, deployment, top_k=top_k, threshold=threshold, work="classify")
        jobs: list[Callable[[], bytes]] = [partial(answer, records[begin:end]) for begin, end in pieces]
        size = sum(costs)
        outcomes = await self._run(
            call, deployment, deployment.many, self._admission, jobs, [sum(costs[begin:end]) for begin, end in pieces],
            _forecast(deployment, deployment.many, size), size, len(records),
        )  # fmt: skip
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if len(failures) == len(pieces):
            raise failures[0]
        for failure in failures:
            log_failure(failure)
        return b",".join(
            outcome if isinstance(outcome, bytes) else failed_texts(end - begin)
            for outcome, (begin, end) in zip(outcomes, pieces, strict=True)
        )

    async def explain(
        self, call: Call, deployment: Deployment, texts: Sequence[Text], label: str | None, top_n: int,
        method: ExplanationMethod | None = None, name: str = "texts",
    ) -> list[Explanation | Exception]:  # fmt: skip
        """As `classify`: why each text gets `label`; see Question."""
        records = deployment.records(texts, name)
        questions = [Question(text, label, top_n, method) for text in records]
        costs = [explanation_cost(text) for text in records]
        # before the first one, as if words were left out one by one
        seconds, size = _forecast(deployment, deployment.explainer, sum(costs)), sum(text_costs(records))
        return await self._run(
            call, deployment, deployment.explainer, self._explaining, questions, costs, seconds, size, len(questions)
        )

    async def _run(
        self,
        call: Call,
        deployment: Deployment,
        batcher: MicroBatcher[Item, Result],
        admission: Admission,
        items: Sequence[Item],
        costs: Sequence[int],
        seconds: float,
        size: int,
        texts: int,
    ) -> list[Result | Exception]:
        deadline = self._deadline(call)
        self._rates.take(call.key, texts)
        short = batcher.is_short(sum(costs))
        with admission.let_in(seconds, size, on_loop=short), deployment.held():
            work = batcher.submit(items, costs, deadline=deadline)
            try:
                return await (work if short else _while_connected(work, call))
            except DeadlinePassedError:
                raise self._late() from None

    async def answer_lines(
        self, call: Call, deployment: Deployment, lines: int, size: int, work: Callable[[], bytes]
    ) -> bytes:
        """What `work` makes of some lines of a stream: it waits for its turn and its rate instead of being refused.

        A stream holds but a few blocks at a time, so what waits here is bounded by the number of connections.
        """
        while wait := self._rates.wait(call.key, lines):
            await asyncio.sleep(wait)
        while self._admission.is_full:
            await asyncio.sleep(STREAM_PAUSE)
        cost = size + TEXT_COST * lines
        short = deployment.bulk.is_short(cost)
        with self._admission.let_in(_forecast(deployment, deployment.bulk, cost), cost, on_loop=short):
            (answer,) = await deployment.bulk.submit([work], [cost])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def lines_at_once(self, call: Call) -> float:
        """How many lines of a stream may be one block: where the key has a rate, what it may send in a second."""
        rate = call.key.per_second if call.key else 0.0
        return max(1, int(rate)) if rate else inf

    def cost_in(self, seconds: float, deployment: Deployment) -> int:
        """How much work on blocks of a stream the model does in some time; 0 where that is not known yet."""
        per_cost = _forecast(deployment, deployment.bulk, 1)
        return int(seconds / per_cost) if per_cost else 0

    def _deadline(self, call: Call) -> float:
        """When the answer has to be there, of time.monotonic."""
        given = call.header(TIMEOUT_HEADER)
        timeout = self._max_timeout_ms
        if given:
            if not re.fullmatch(rb"[0-9]{1,9}", given) or int(given) == 0:
                raise InvalidRequestError("X-Request-Timeout-Ms must be a whole number of milliseconds, 1 or more.")
            timeout = min(timeout, int(given))
        left = timeout / 1000 - (perf_counter() - call.arrived)
        if left <= 0:
            raise self._late()
        return monotonic() + left

    def _late(self) -> DeadlineError:
        self._refused("deadline_passed", 1)
        return DeadlineError("There was not time enough left to answer; nothing was done.")


def _forecast(deployment: Deployment, lane: MicroBatcher[Any, Any], cost: int) -> float:
    """Seconds of work in a lane; before its first, by what single texts take."""
    pace = lane.pace if lane.pace.known else deployment.batcher.pace
    return pace.per_cost * cost


async def _while_connected(work: asyncio.Future[Result], call: Call) -> Result:
    """The outcome, unless the client leaves first: then nothing that has not begun is done."""
    gone = asyncio.ensure_future(call.gone())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientGoneError("The client left.")
    finally:
        gone.cancel()
        work.cancel()
