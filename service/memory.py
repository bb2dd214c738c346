"""Memory of versions that are let go returns to the system: glibc's malloc, left to itself, keeps it.

Its threshold above which an array has pages of its own rises to the size of what was freed, up to 32 MB; from then on
tables lie on the heap and a hole stays where one was. 200 changes of a model doubled the memory of the service.

And each thread has a heap of its own, of which all stays that is free within it, and up to KEPT at its end: 30 MB in
every thread that has loaded a model (docs/LOG.md, 2026-11-21). So they share one, and its free pages are given back:
when a version was let go, and each second while there is more to do than can be done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
OWN_PAGES = 8 << 20  # bytes of an array that gets them
KEPT = 32 << 20  # bytes at the end of a heap that wait for the next batch
HEAPS = 2  # one for the event loop, one for all other threads, of which few run at a time


def return_memory() -> bool:
    """For this process, before models are loaded. Returns whether its C library can."""
    mallopt = _of_libc("mallopt")
    wanted = {M_MMAP_THRESHOLD: OWN_PAGES, M_TRIM_THRESHOLD: KEPT, M_ARENA_MAX: HEAPS}
    return mallopt is not None and all([mallopt(option, value) for option, value in wanted.items()])


def trim_heaps() -> bool:
    """Give back the free pages of all heaps; some ms, without Python's lock. Returns whether the C library can."""
    malloc_trim = _of_libc("malloc_trim")
    if malloc_trim is None:
        return False
    malloc_trim(ctypes.c_size_t(0))
    return True


def _of_libc(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
    return found
