"""Files that are read again when they change, while the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

POLL_SECONDS = 0.5


async def follow(paths: Sequence[Path], changed: Callable[[], None]) -> None:
    """Call `changed` at once, and when one of the files is another than before. Never returns."""
    before = _stamps(paths)
    changed()  # they may have been read long before
    while True:
        await asyncio.sleep(POLL_SECONDS)
        now = _stamps(paths)  # before they are read: what is written meanwhile is a change again
        if now != before:
            before = now
            changed()


def _stamps(paths: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    return [_stamp(path) for path in paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
