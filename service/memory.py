"""Memory of versions that are let go returns to the system: glibc's malloc, left to itself, keeps it.

Its threshold above which an array has pages of its own rises to the size of what was freed, up to 32 MB; from then on
tables lie on the heap and a hole stays where one was. 200 changes of a model doubled the memory of the service.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
OWN_PAGES = 8 << 20  # bytes of an array that gets them
KEPT = 32 << 20  # bytes at the end of the heap that wait for the next batch


def return_memory() -> bool:
    """For this process, before models are loaded. Returns whether its C library can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, OWN_PAGES) and mallopt(M_TRIM_THRESHOLD, KEPT))
