"""Gathers what comes one by one into batches. Takes any list -> list; knows neither models nor HTTP.

There is no timer. Whatever has come by the time the event loop has read its sockets runs as one batch; what comes while
that runs is the next. Two lanes, each oldest first:

- Short work runs on the event loop itself. Going to a thread and back costs more than such a batch takes (measured:
  docs/LOG.md, 2026-11-21), and the requests of one pass of the loop share what a call costs.
- Longer work runs in a thread, so that the loop goes on meanwhile. The thread takes its next batch itself: between two
  batches nothing is handed over.

What is short is known from the batches that were run (pace.py); until one was, nothing is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Generic, TypeVar

from service.pace import Pace

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOP_FIRST = 5  # more niceness for the thread that runs batches: a third of the loop's weight
INLINE_SECONDS = 0.001  # a batch that takes longer than this keeps the loop from others too long


class DeadlinePassedError(Exception):
    """Nobody waits any more for this work; it was not begun."""


class ClosedError(Exception):
    """The batcher was closed before this work was begun."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch was: for metrics. `waited` is that of its oldest work; seconds."""

    items: int
    cost: int
    waited: float
    seconds: float
    inline: bool
    failed: int  # items that made the work fail


class Job(Generic[Item, Result]):
    """The work of one caller: it may be spread over several batches."""

    __slots__ = ("costs", "deadline", "future", "items", "left", "queued", "results", "taken")

    def __init__(
        self,
        items: Sequence[Item],
        costs: Sequence[int],
        deadline: float | None,
        future: asyncio.Future[list[Result | Exception]],
    ) -> None:
        self.items = items
        self.costs = costs
        self.deadline = deadline
        self.future = future
        self.queued = perf_counter()
        self.taken = 0  # items that are in a batch, or were
        self.left = len(items)  # items without a result
        self.results: list[Result | Exception] = []

    def settle(self, results: Sequence[Result | Exception]) -> None:
        """Results of the next items; on the event loop. Batches of a lane end in the order in which they began."""
        self.results += results
        self.left -= len(results)
        if self.left == 0 and not self.future.done():
            self.future.set_result(self.results)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


Batch = list[tuple[Job[Item, Result], int, int]]  # job, its first item, the one after its last


class MicroBatcher(Generic[Item, Result]):
    """Runs `work` on batches of at most `max_items` items and `max_cost` cost (a larger item is a batch of its own).

    Make it and use it on one event loop. `work` gives one result an item, in order, and may raise: then the batch is
    halved until the guilty item stands alone, and only that one gets the exception. `observe` is told of every batch,
    on the event loop.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        *,
        max_items: int = 256,
        max_cost: int = 65_536,
        inline_seconds: float = INLINE_SECONDS,
        observe: Callable[[BatchReport], None] = lambda report: None,
        name: str = "batcher",
    ) -> None:
        self.pace = Pace()
        self._work = work
        self._max_items = max_items
        self._max_cost = max_cost
        self._inline_seconds = inline_seconds
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._short: deque[Job[Item, Result]] = deque()
        self._flush_is_due = False
        self._long: deque[Job[Item, Result]] = deque()
        self._wake = threading.Condition()  # guards _long and _closed
        self._closed = False
        self._thread = threading.Thread(target=self._run_long, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, items: Sequence[Item], costs: Sequence[int], *, deadline: float | None = None
    ) -> asyncio.Future[list[Result | Exception]]:
        """A future of one result or exception for each item, in order.

        Cancel it, and what has not begun never does. Work that has not begun by `deadline` (of time.monotonic) ends
        with DeadlinePassedError.
        """
        future: asyncio.Future[list[Result | Exception]] = self._loop.create_future()
        job: Job[Item, Result] = Job(items, costs, deadline, future)
        if self._closed:
            job.fail(ClosedError("the batcher is closed"))
        elif not items:
            future.set_result([])
        elif self.is_short(sum(costs)):
            self._short.append(job)
            if not self._flush_is_due:
                self._flush_is_due = True
                # runs once everybody whose request was read in this pass of the loop has come here
                self._loop.call_soon(self._flush)
        else:
            with self._wake:
                self._long.append(job)
                self._wake.notify()
        return future

    def is_short(self, cost: int) -> bool:
        """Whether work of this cost would run on the event loop."""
        return self.pace.known and self.pace.seconds(cost) <= self._inline_seconds

    def close(self) -> None:
        """Let what has begun finish and refuse the rest. From any thread; returns at once."""
        with self._wake:
            self._closed = True
            waiting = [job for job in self._long if not job.taken]
            self._wake.notify()
        for job in waiting:
            self._loop.call_soon_threadsafe(job.fail, ClosedError("the batcher was closed"))

    def _flush(self) -> None:
        """Run one batch of the short lane; what is left, and what came meanwhile, after the loop's next pass."""
        most = self._max_cost
        if self.pace.per_cost > 0:
            most = min(most, int(self._inline_seconds / self.pace.per_cost))
        batch = self._take(self._short, most)
        if batch:
            results, report = self._run(batch, inline=True)
            self._deliver(batch, results, report)
        self._flush_is_due = bool(self._short)
        if self._flush_is_due:
            self._loop.call_soon(self._flush)

    def _run_long(self) -> None:
        """The thread: batches of the long lane, one after the other."""
        yield_to_loop()
        while True:
            with self._wake:
                while not self._long and not self._closed:
                    self._wake.wait()
                if not self._long:
                    return
                batch = self._take(self._long, self._max_cost)
            if not batch:
                continue
            results, report = self._run(batch, inline=False)
            try:
                self._loop.call_soon_threadsafe(self._deliver, batch, results, report)
            except RuntimeError:
                return  # the loop is closed: nobody waits

    def _take(self, queue: deque[Job[Item, Result]], most: int) -> Batch[Item, Result]:
        """The oldest items that are still wanted, up to the budget."""
        batch: Batch[Item, Result] = []
        items, cost, now = 0, 0, monotonic()
        while queue and items < self._max_items:
            job = queue[0]
            if job.future.done() or (self._closed and not job.taken):
                queue.popleft()
                continue
            if job.deadline is not None and now > job.deadline and not job.taken:
                queue.popleft()
                # a job of the short lane is taken on the loop, one of the other in the thread
                self._loop.call_soon_threadsafe(job.fail, DeadlinePassedError("the deadline passed in the queue"))
                continue
            first = job.taken
            while job.taken < len(job.items) and items < self._max_items:
                more = cost + job.costs[job.taken]
                if items and more > most:
                    break
                cost, items, job.taken = more, items + 1, job.taken + 1
            if job.taken > first:
                batch.append((job, first, job.taken))
            if job.taken < len(job.items):
                break
            queue.popleft()
        return batch

    def _run(self, batch: Batch[Item, Result], *, inline: bool) -> tuple[list[Result | Exception], BatchReport]:
        items = [item for job, first, end in batch for item in job.items[first:end]]
        cost = sum(sum(job.costs[first:end]) for job, first, end in batch)
        started = perf_counter()
        results = each_by_itself(self._work, items)
        seconds = perf_counter() - started
        self.pace.learn(cost, seconds)
        failed = sum(isinstance(result, Exception) for result in results)
        return results, BatchReport(len(items), cost, started - batch[0][0].queued, seconds, inline, failed)

    def _deliver(self, batch: Batch[Item, Result], results: list[Result | Exception], report: BatchReport) -> None:
        place = 0
        for job, first, end in batch:
            job.settle(results[place : place + end - first])
            place += end - first
        self._observe(report)


def yield_to_loop() -> None:
    """On a core that both want, the event loop runs first: it takes microseconds, and everybody waits for it."""
    if sys.platform == "linux":  # elsewhere a priority is that of the whole process
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it; the batches have to run all the same
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + LOOP_FIRST)


def each_by_itself(work: Callable[[list[Item]], Sequence[Result]], items: list[Item]) -> list[Result | Exception]:
    """Results of all but the items that make `work` fail; those get its exception. Few of them cost few calls."""
    try:
        results = list(work(items))
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items went in, {len(results)} results came out")
        return [*results]
    except Exception as error:  # the model's, whichever: it belongs to the item that caused it
        if len(items) == 1:
            return [error]
    middle = len(items) // 2
    return each_by_itself(work, items[:middle]) + each_by_itself(work, items[middle:])
