from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import pytest

from service.batcher import LOOP_FIRST, BatchReport, ClosedError, DeadlinePassedError, MicroBatcher
from service.pace import Pace

from ..patience import PATIENCE

pytestmark = pytest.mark.anyio


class Work:
    """Upper-cases strings; notes batches and threads; "wait" waits for the gate, "boom" fails."""

    def __init__(self):
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.begun = threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        if "wait" in items:
            assert self.gate.wait(PATIENCE)
        if any(item.startswith("boom") for item in items):
            raise ValueError("boom")
        return [item.upper() for item in items]


@pytest.fixture
def work():
    return Work()


def costs(items):
    return [len(item) for item in items]


def short(work, **options):
    """A batcher that knows its work to be quick, and so does it on the loop."""
    batcher = MicroBatcher(work, **options)
    batcher.pace.learn(1, 1e-6)
    return batcher


def submit(batcher, *items, **options):
    return batcher.submit(items, costs(items), **options)


@pytest.mark.parametrize("make", [short, MicroBatcher], ids=["on the loop", "in the thread"])
async def test_every_caller_gets_its_own_answers_in_order(work, make):
    batcher = make(work, max_items=16)
    sent = [[f"{caller}-{item}" for item in range(caller % 5)] for caller in range(200)]
    got = await asyncio.gather(*(submit(batcher, *items) for items in sent))
    assert got == [[item.upper() for item in items] for items in sent]
    assert max(map(len, work.batches)) <= 16
    batcher.close()


class KnownPace(Pace):
    """Up to 100 characters are short, whatever the machine is busy with."""

    known = True

    def __init__(self, per_cost: float = 1e-5):
        self.overhead, self.per_cost = 0.0, per_cost

    def learn(self, cost, seconds):
        pass


async def test_ten_thousand_callers_at_once_are_not_mixed_up_though_both_lanes_are_in_use(work):
    batcher = MicroBatcher(work)
    batcher.pace = KnownPace()
    sent = [f"text {number}" + " and more" * 20 * (number % 3 == 0) for number in range(10_000)]
    futures = []
    for number, text in enumerate(sent):
        futures.append(submit(batcher, text))
        if number % 100 == 0:
            await asyncio.sleep(0)
    got = await asyncio.gather(*futures)
    assert got == [[text.upper()] for text in sent]
    assert len(work.threads) == 2
    batcher.close()


async def test_short_work_that_came_together_runs_at_once_as_one_batch_on_the_loop(work):
    batcher = short(work)
    first, second = submit(batcher, "a"), submit(batcher, "b", "c")
    await asyncio.sleep(0)
    assert first.done() and second.done()
    assert work.batches == [["a", "b", "c"]]
    assert work.threads == {threading.current_thread().name}
    batcher.close()


@pytest.mark.parametrize(("per_cost", "sizes"), [(1e-4, [10, 10, 5]), (0.0, [25])])
async def test_a_batch_on_the_loop_is_as_long_as_is_short(work, per_cost, sizes):
    batcher = MicroBatcher(work)
    batcher.pace = KnownPace(per_cost)
    await asyncio.gather(*(submit(batcher, "a") for _ in range(25)))
    assert [len(batch) for batch in work.batches] == sizes
    assert work.threads == {threading.current_thread().name}
    batcher.close()


async def test_the_loop_has_a_pass_between_two_batches_and_none_to_make_when_nothing_waits(work):
    class Counted(MicroBatcher):
        flushes = 0

        def _flush(self):
            self.flushes += 1
            super()._flush()

    batcher = Counted(work, max_items=1)
    batcher.pace = KnownPace()
    for _ in range(2):
        work.batches.clear()
        batcher.flushes = 0
        done = [submit(batcher, item) for item in "abc"]
        for place in range(3):
            assert sum(future.done() for future in done) == place
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (batcher.flushes, work.batches) == (3, [["a"], ["b"], ["c"]])
    batcher.close()


async def test_of_short_work_that_nobody_wants_any_more_nothing_is_left_to_run(work):
    batcher = short(work)
    submit(batcher, "gone").cancel()
    await asyncio.sleep(0)
    assert await submit(batcher, "stays") == ["STAYS"]
    assert work.batches == [["stays"]]
    batcher.close()


async def test_what_was_cancelled_is_not_refused_again_by_closing(work):
    batcher = MicroBatcher(work)
    busy = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    gone = submit(batcher, "gone")
    batcher.close()
    gone.cancel()
    work.gate.set()
    await busy
    await asyncio.sleep(0)  # anyio fails the test for an exception in the loop


async def test_work_of_which_a_part_has_begun_is_finished_though_it_is_late_and_the_service_closes(work):
    batcher = MicroBatcher(work, max_items=1)
    future = submit(batcher, "wait", "b", "c", deadline=time.monotonic() + 3600)
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    (job,) = batcher._long
    job.deadline = time.monotonic() - 1
    batcher.close()
    work.gate.set()
    async with asyncio.timeout(PATIENCE):
        assert await future == ["WAIT", "B", "C"]


async def test_every_batch_teaches_how_long_the_next_will_take():
    batcher = MicroBatcher(lambda items: items)
    assert not batcher.pace.known
    await submit(batcher, "a")
    assert batcher.pace.known
    batcher.close()


async def test_long_work_runs_at_once_when_idle_and_is_gathered_while_busy(work):
    batcher = MicroBatcher(work)
    busy = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    later = [submit(batcher, item) for item in ("a", "b", "c")]
    work.gate.set()
    await asyncio.gather(busy, *later)
    assert work.batches == [["wait"], ["a", "b", "c"]]
    assert threading.current_thread().name not in work.threads
    batcher.close()


async def test_long_work_does_not_keep_the_short_waiting(work):
    batcher = MicroBatcher(work)
    long = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    batcher.pace.learn(1, 1e-6)  # now it knows that its work is quick
    assert await asyncio.wait_for(submit(batcher, "quick"), PATIENCE) == ["QUICK"]
    assert not long.done()
    work.gate.set()
    await long
    batcher.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all threads of a process have one priority")
async def test_the_loop_comes_before_the_batches_where_both_want_one_core():
    def niceness(items=("",)):
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in items]

    batcher = MicroBatcher(niceness)
    assert await submit(batcher, "a") == [min(niceness()[0] + LOOP_FIRST, 19)]
    batcher.close()


async def test_batches_run_where_a_sandbox_forbids_to_change_priorities(monkeypatch, work):
    def forbidden(*args):
        raise PermissionError

    monkeypatch.setattr("service.batcher.os.setpriority", forbidden)
    batcher = MicroBatcher(work)
    async with asyncio.timeout(PATIENCE):
        assert await submit(batcher, "a") == ["A"]
    batcher.close()


async def test_a_batch_keeps_to_the_budget_and_the_oldest_go_first(work):
    batcher = MicroBatcher(work, max_items=3, max_cost=10)
    busy = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    later = [
        submit(batcher, *items)
        for items in (("aaaa", "bbbb"), ("cccc",), ("d", "e", "f", "g"), ("longer than ten",), ("h",))
    ]
    work.gate.set()
    await asyncio.gather(busy, *later)
    assert work.batches[1:] == [["aaaa", "bbbb"], ["cccc", "d", "e"], ["f", "g"], ["longer than ten"], ["h"]]
    batcher.close()


@pytest.mark.parametrize("make", [short, MicroBatcher], ids=["on the loop", "in the thread"])
async def test_only_the_guilty_item_of_256_fails(work, make):
    batcher = make(work)
    items = [f"item {number}" for number in range(256)]
    items[77] = "boom"
    got = await submit(batcher, *items)
    assert [place for place, result in enumerate(got) if isinstance(result, Exception)] == [77]
    assert [result for result in got if not isinstance(result, Exception)] == [
        item.upper() for item in items if item != "boom"
    ]
    assert len(work.batches) <= 2 * 8 + 1
    batcher.close()


async def test_a_guilty_item_does_not_spoil_the_answer_of_another_caller(work):
    batcher = short(work)
    good, bad = submit(batcher, "a", "b"), submit(batcher, "boom")
    assert await good == ["A", "B"]
    (error,) = await bad
    assert isinstance(error, ValueError)
    batcher.close()


async def test_work_that_loses_answers_is_an_error_and_mixes_nothing_up():
    batcher = MicroBatcher(lambda items: items[1:])
    results = await submit(batcher, "a", "b", "c")
    assert all(isinstance(result, RuntimeError) for result in results)
    batcher.close()


async def test_the_work_of_a_caller_who_left_is_not_done(work):
    batcher = MicroBatcher(work)
    busy = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    gone, stays = submit(batcher, "gone"), submit(batcher, "stays")
    gone.cancel()
    work.gate.set()
    await asyncio.gather(busy, stays)
    assert work.batches == [["wait"], ["stays"]]
    batcher.close()


async def test_a_caller_who_leaves_while_his_work_is_done_disturbs_nobody(work):
    batcher = MicroBatcher(work)
    gone = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    gone.cancel()
    work.gate.set()
    assert await submit(batcher, "stays") == ["STAYS"]  # anyio fails the test for an exception in the loop
    batcher.close()


async def test_the_thread_of_an_idle_batcher_ends_with_it(work):
    batcher = MicroBatcher(work)
    assert await submit(batcher, "a") == ["A"]
    batcher.close()
    batcher._thread.join(PATIENCE)
    assert not batcher._thread.is_alive()


async def test_work_past_its_deadline_is_not_begun(work):
    batcher = MicroBatcher(work)
    busy = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    late = submit(batcher, "late", deadline=time.monotonic() - 1)
    in_time = submit(batcher, "in time", deadline=time.monotonic() + 60)
    work.gate.set()
    with pytest.raises(DeadlinePassedError):
        await late
    assert await in_time == ["IN TIME"]
    await busy
    assert ["late"] not in work.batches
    batcher.close()


async def test_closing_finishes_what_has_begun_and_refuses_the_rest(work):
    batcher = MicroBatcher(work)
    begun = submit(batcher, "wait")
    await asyncio.to_thread(work.begun.wait, PATIENCE)
    waiting = submit(batcher, "waiting")
    batcher.close()
    work.gate.set()
    assert await begun == ["WAIT"]
    for refused in (waiting, submit(batcher, "after")):
        with pytest.raises(ClosedError):
            await refused
    assert work.batches == [["wait"]]
    batcher._thread.join(PATIENCE)
    assert not batcher._thread.is_alive()


async def test_every_batch_is_reported():
    reports: list[BatchReport] = []
    batcher = MicroBatcher(lambda items: items, observe=reports.append, max_items=2)
    await submit(batcher, "aa", "b", "c")
    assert [(report.items, report.cost, report.inline) for report in reports] == [(2, 3, False), (1, 1, False)]
    assert all(report.waited >= 0 and report.seconds >= 0 for report in reports)
    batcher.close()


async def test_nothing_is_answered_at_once():
    batcher = MicroBatcher(lambda items: items)
    assert await submit(batcher) == []
    batcher.close()
