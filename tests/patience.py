"""Waiting for what another process or thread does: as long as it takes, and never to see how long that is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 300.0  # seconds, after which a test hangs: on a busy machine anything else may take a minute


def until(condition: Callable[[], object], what: str) -> None:
    """Returns when `condition` holds; fails, naming `what` did not come, where it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)
