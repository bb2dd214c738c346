"""The machine: what it is, how it is held still, how fast it copies; and the clock of all benchmarks."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], object]
COPY_BYTES = 1 << 28  # far more than any cache
PAUSE = 0.0005  # seconds between two looks at the clock


def say(line: str) -> None:
    """What is being done now, for the person who waits."""
    print(line, file=sys.stderr, flush=True)


def describe() -> dict[str, Any]:
    """Processor, cores, instruction set that the kernels chose, versions, and how busy the machine was at the start."""
    from textcnn.kernels.native import native

    module = native()
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernels": module.instruction_set if module else "numpy",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "load_average": round(os.getloadavg()[0], 2),  # above the cores in use: others disturb the figures
    }


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def pinned(count: int) -> Iterator[None]:
    """This thread, and the threads and processes that it starts, on the last `count` cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def interleave(work: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Median seconds of each. All run once in every round, in turn, so that a disturbance meets all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for function in work.values():
        function()  # warm: caches, pages, whatever is built on first use
    names = list(work)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(timed(work[name]))
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(function: Work) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def copying() -> tuple[Work, int]:
    """A copy of a buffer, on one thread, to time beside a kernel; and the bytes that it reads and writes."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.ones(COPY_BYTES, np.uint8)
    return lambda: np.copyto(target, source), 2 * COPY_BYTES


def resident_mb(process: int | str = "self", *, peak: bool = False) -> float:
    """Resident memory of a process now, or the most that it ever was; MB of 10^6 bytes."""
    field = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{process}/status has no {field}")


def go_first(pid: int) -> None:
    """Where we may, a process (0: this one) goes before whatever else the machine does. Before it starts threads."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)


def pauses(cores: Sequence[int], seconds: float) -> dict[str, float]:
    """What the machine takes from programs that do nothing but look at the clock, one on each core, before all others.

    The worst core's: milliseconds a second, and the longest pause in ms.
    """
    with multiprocessing.get_context("spawn").Pool(len(cores)) as processes:
        found = processes.starmap(_pauses, [(core, seconds) for core in cores], chunksize=1)
    return {
        "ms_a_second": max(sum(gaps) for gaps in found) / seconds * 1000,
        "longest_ms": max(max(gaps, default=0.0) for gaps in found) * 1000,
    }


def _pauses(core: int, seconds: float) -> list[float]:
    os.sched_setaffinity(0, [core])
    go_first(0)
    gaps = []
    last = began = time.perf_counter()
    while last < began + seconds:
        now = time.perf_counter()
        if now - last > PAUSE:
            gaps.append(now - last)
        last = now
    return gaps
