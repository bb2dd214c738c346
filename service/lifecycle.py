"""Whether the service is being told to end; shared by who is told and who has to say so."""

from __future__ import annotations


class Lifecycle:
    def __init__(self) -> None:
        self.draining = False
