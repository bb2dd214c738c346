"""How far the service has come; shared by who brings it there and who has to know."""

from __future__ import annotations

import asyncio


class Lifecycle:
    def __init__(self) -> None:
        self.loaded = asyncio.Event()  # the models were brought up, or cannot be
        self.draining = False  # the service was told to end
