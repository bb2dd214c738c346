"""The compiled extension, or the reason why it is not there; and two threads' worth of work split in ranges."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import TypeVar

log = logging.getLogger(__name__)

# CRC-32 of the names and the parameters in _native.c, as it is stated there. A checkout of newer sources keeps the
# extension that was compiled of the older ones.
INTERFACE = "e738b03b"
Result = TypeVar("Result")


@cache
def native() -> ModuleType | None:
    """The compiled kernels, or None; the reason is logged once, as a warning, because everything is slower then."""
    if os.environ.get("TEXTCNN_NATIVE") == "off":
        log.warning(
            "compiled kernels are switched off by TEXTCNN_NATIVE=off; using numpy, which is several times slower"
        )
        return None
    try:
        from textcnn.kernels import _native
    except ImportError as error:
        log.warning("compiled kernels are not available (%s); using numpy, which is several times slower", error)
        return None
    if getattr(_native, "INTERFACE", None) != INTERFACE:
        log.warning(
            "%s was compiled from other sources than these; using numpy, which is several times slower. Compile it "
            "anew: pip install --editable . in the folder of the sources",
            _native.__file__,
        )
        return None
    return _native


@cache
def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="textcnn-kernel")


if hasattr(os, "register_at_fork"):
    # a forked child has the pool but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def in_ranges(work: Callable[[int, int], Result], count: int, *, threads: int, grain: int) -> list[Result]:
    """What `work(begin, end)` returns over 0..count, split among threads where each gets at least `grain` items.

    The calling thread takes the first range itself, so one range costs no hand-over.
    """
    if threads == 1 or count < 2 * grain:
        return [work(0, count)]
    parts = min(threads, count // grain)
    bounds = [count * part // parts for part in range(parts + 1)]
    others = [_pool().submit(work, begin, end) for begin, end in zip(bounds[1:], bounds[2:], strict=False)]
    return [work(bounds[0], bounds[1]), *(other.result() for other in others)]
