"""From texts to predictions: let in, batched, given up where the client left or its time is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import TypeVar

from service.admission import Admission, RateLimits, Refused
from service.batcher import DeadlinePassedError, MicroBatcher
from service.call import Call
from service.deployment import TEXT_COST, Deployment, Question, Text, explanation_cost, text_cost
from service.errors import ClientGoneError, DeadlineError, InvalidRequestError
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
        refused: Refused = lambda reason: None,
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

    async def classify(self, call: Call, deployment: Deployment, texts: Sequence[Text], top_k: int) -> list[Outcome]:
        """A prediction for each text, or the exception that it alone caused.

        Raises InvalidRequestError for a text that the model does not read so, OverloadedError, RateLimitedError,
        DeadlineError, ClientGoneError.
        """
        records = deployment.records(texts)
        work = [(text, top_k) for text in records]
        costs = [text_cost(text) for text in records]
        size = sum(costs)
        seconds = deployment.batcher.pace.per_cost * size
        return await self._run(call, deployment, deployment.batcher, self._admission, work, costs, seconds, size)

    async def explain(
        self, call: Call, deployment: Deployment, texts: Sequence[Text], label: str | None, top_n: int,
        method: ExplanationMethod | None = None,
    ) -> list[Explanation | Exception]:  # fmt: skip
        """As `classify`: why each text gets `label`; see Question."""
        records = deployment.records(texts)
        questions = [Question(text, label, top_n, method) for text in records]
        costs = [explanation_cost(text) for text in records]
        # before the first one, as if words were left out one by one
        pace = deployment.explainer.pace if deployment.explainer.pace.known else deployment.batcher.pace
        seconds, size = pace.per_cost * sum(costs), sum(map(text_cost, records))
        return await self._run(
            call, deployment, deployment.explainer, self._explaining, questions, costs, seconds, size
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
    ) -> list[Result | Exception]:
        deadline = self._deadline(call)
        self._rates.take(call.key, len(items))
        with admission.let_in(seconds, size), deployment.held():
            long = not batcher.is_short(sum(costs))
            work = batcher.submit(items, costs, deadline=deadline)
            try:
                return await (_while_connected(work, call) if long else work)
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
        with self._admission.let_in(deployment.bulk.pace.per_cost * cost, cost):
            (answer,) = await deployment.bulk.submit([work], [cost])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def lines_at_once(self, call: Call, most: int) -> int:
        """How many lines of a stream may be one block: where the key has a rate, what it may send in a second."""
        rate = call.key.per_second if call.key else 0.0
        return min(most, max(1, int(rate))) if rate else most

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
        self._refused("deadline_passed")
        return DeadlineError("There was not time enough left to answer; nothing was done.")


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
