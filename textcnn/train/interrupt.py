"""Ctrl-C while a network trains: the running step is finished first, so that what is kept is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

FORCED = 3  # a third Ctrl-C ends at once: something hangs


class Interrupt:
    """A context in which SIGINT is only remembered; `asked` says so. Does nothing outside the main thread.

    What was pressed in a context around it, before it began, counts too. With `raising` it raises KeyboardInterrupt as
    ever, until a training inside has ended: what that made is to be saved then.
    """

    def __init__(self, *, raising: bool = False) -> None:
        self._raising = raising
        self._trained = False
        self._outer: Interrupt | None = None
        self._count = 0
        self._before: Any = None

    @property
    def asked(self) -> bool:
        return self._count > 0 or (self._outer is not None and not self._outer._raising and self._outer.asked)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._remember)
            outer = getattr(self._before, "__self__", None)
            self._outer = outer if isinstance(outer, Interrupt) else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            if self._outer:
                self._outer._count += self._count
                self._outer._trained = True
            signal.signal(signal.SIGINT, self._before)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._raising and not self._count and not self._trained:
            raise KeyboardInterrupt
        self._count += 1
        if self._count >= FORCED:
            raise KeyboardInterrupt
