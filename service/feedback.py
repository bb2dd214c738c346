"""What users say was right: lines of JSON in a folder. A line is on the disk before it is acknowledged.

Each process appends to a file of its own. Lines that come together share one fsync; a new file is begun when one is
full, so that the old ones can be taken away. After an error of the disk a line may stand there twice, never not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path


class FeedbackLog:
    """Use it from one thread at a time."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._handle: int | None = None
        self._size = 0

    def append(self, lines: Sequence[bytes]) -> list[None]:
        """Write and sync some lines, each without its newline. Raises OSError; then none of them counts as kept."""
        data = b"".join(line + b"\n" for line in lines)
        if self._handle is None or self._size >= self._max_bytes:
            self._begin()
        assert self._handle is not None
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            os.fsync(self._handle)
        except OSError:
            self.close()  # what follows a half-written line would be joined to it
            raise
        self._size += len(data)
        return [None] * len(lines)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.close()
        path = self._folder / f"feedback-{time.time_ns()}-{os.getpid()}.jsonl"
        self._handle, self._size = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), 0
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a crash could lose the file's name
        finally:
            os.close(folder)
