"""Keeps several processes running that share a socket: starts them, restarts the dead, ends them together."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.context import SpawnProcess
from typing import Any, Literal

log = logging.getLogger(__name__)

STARTUP_FAILURE = 3  # the exit code by which a process says that another try would end the same way
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds before a restart, doubled each time
STEADY_SECONDS = 30.0  # a process that lived as long starts again without a pause
WORKER = "TEXTCNN_WORKER_NUMBER"  # tells a process which of them it is, from 0
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client keeps the figures of all processes

Ending = Literal["well", "cannot start", "killed"]


class Worker:
    """One of the processes, through all its lives."""

    def __init__(self, target: Callable[..., None], arguments: tuple[Any, ...], number: int) -> None:
        self._number = number
        self._target = target
        self._arguments = arguments
        self._pause = FIRST_PAUSE
        self.restart_at = 0.0  # of time.monotonic; while it is dead
        self.lives = 0
        self.start()

    def start(self) -> None:
        # Spawned, not forked: a fork of a process with threads may hang, and CUDA does not survive one.
        self.process: SpawnProcess = get_context("spawn").Process(
            target=_work, args=(self._target, (*self._arguments, self.lives > 0))
        )
        os.environ[WORKER] = str(self._number)  # what is spawned has a copy
        # Ctrl-C in a terminal reaches all processes; one that is still importing would show a traceback.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.process.start()
        signal.signal(signal.SIGINT, before)
        self.lives += 1
        self.started = time.monotonic()

    @property
    def cannot_start(self) -> bool:
        """Whether it failed at once. A replacement may fail for a while: the others go on, and it is tried again."""
        return self.lives == 1 and self.process.exitcode == STARTUP_FAILURE

    def died(self) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        now = time.monotonic()
        self._pause = FIRST_PAUSE if now - self.started > STEADY_SECONDS else min(2 * self._pause, LONGEST_PAUSE)
        self.restart_at = now + self._pause
        mark_process_dead(self.process.pid)
        fields = {"pid": self.process.pid, "exit_code": self.process.exitcode, "restart_in": self._pause}
        log.error("a process died", extra={"fields": fields})

    def end(self, number: int) -> None:
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, number)


def _work(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """In the new process: do the work, and end when the supervisor does, however it ended."""
    supervisor = parent_process()
    assert supervisor is not None

    def end_with_supervisor() -> None:
        wait_for_any([supervisor.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_supervisor, daemon=True).start()
    target(*arguments)


def supervise(target: Callable[..., None], arguments: tuple[Any, ...], count: int, *, wait: float) -> Ending:
    """Run `target(*arguments, replacement)` in `count` processes until SIGTERM or SIGINT; then end them, within `wait`
    seconds. `replacement` is whether it takes the place of one that died.

    Returns whether one of them said that it cannot start, or had to be killed. Raises KeyboardInterrupt after SIGINT.
    """
    told: list[int] = []
    wake, woken = os.pipe2(os.O_NONBLOCK)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: told.append(number))
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    folder = os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix="textcnn-metrics-")
    workers = [Worker(target, arguments, number) for number in range(count)]
    can_start = True
    try:
        while not told and can_start:
            living = [worker for worker in workers if not worker.restart_at]
            due = min((worker.restart_at for worker in workers if worker.restart_at), default=None)
            pause = None if due is None else max(0.0, due - time.monotonic())
            wait_for_any([wake, *(worker.process.sentinel for worker in living)], pause)
            for worker in workers:
                if worker.restart_at and time.monotonic() >= worker.restart_at and not told:
                    worker.restart_at = 0.0
                    worker.start()
                elif not worker.restart_at and not worker.process.is_alive() and not told:
                    can_start = can_start and not worker.cannot_start
                    worker.died()
    finally:
        ended = _end(workers, told[0] if told else signal.SIGTERM, wait)
        signal.set_wakeup_fd(-1)
        os.close(wake)
        os.close(woken)
        shutil.rmtree(folder, ignore_errors=True)
    if told and told[0] == signal.SIGINT:
        raise KeyboardInterrupt
    if not can_start:
        return "cannot start"
    return "well" if ended else "killed"


def _end(workers: list[Worker], number: int, wait: float) -> bool:
    """False if one had to be killed."""
    ended = True
    for worker in workers:
        worker.end(number)
        worker.end(signal.SIGTERM)  # of SIGINT takes notice only one that serves
    deadline = time.monotonic() + wait
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            log.error("a process did not end in time", extra={"fields": {"pid": worker.process.pid}})
            worker.process.kill()
            worker.process.join()
            ended = False
    return ended
