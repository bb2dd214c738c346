"""Ctrl-C while a network trains: the running step is finished first, so that what is kept is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

FORCED = 3  # a third Ctrl-C ends at once: something hangs


class Interrupt:
    """From `start` to `end`, SIGINT is only remembered; `asked` says so. Does nothing outside the main thread."""

    def __init__(self) -> None:
        self._count = 0
        self._before: Any = None

    @property
    def asked(self) -> bool:
        return self._count > 0

    def start(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._remember)

    def end(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= FORCED:
            raise KeyboardInterrupt
