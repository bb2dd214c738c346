"""What users say was right: lines of JSON in a folder. A line is on the disk before it is acknowledged.

Each process appends to a file of its own. Lines that come together share one fsync; a new file is begun when one is
full, and when somebody has taken it away. What cannot be written is taken back, so that a file has whole lines only,
and no file is empty. After an error of the disk a line may stand there twice, never not at all.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from textcnn.errors import TextCNNError


class FeedbackFolderError(TextCNNError):
    """Feedback cannot be kept where it is to be kept."""


def check_folder(folder: Path) -> None:
    """Raises FeedbackFolderError where nothing can be written at `folder`. Makes nothing."""
    try:
        home = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if _is_taken(parent))
        if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
            return
        home.stat()
        reason = f"{home} is {'not writable' if home.is_dir() else 'a file'}"
    except OSError as error:  # a link to nothing, a name that is too long
        reason = f"{error.filename}: {error.strerror}"
    raise FeedbackFolderError(f"cannot keep feedback in {folder}: {reason}")


def _is_taken(path: Path) -> bool:
    """Whether something has that name, were it a link to nothing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


class FeedbackLog:
    """Use it from one thread at a time."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._handle: int | None = None
        self._path = folder
        self._size = 0  # bytes of whole lines that are on the disk

    def append(self, lines: Sequence[bytes]) -> list[None]:
        """Write and sync some lines, each without its newline. Raises OSError; then none of them was kept."""
        data = b"".join(line + b"\n" for line in lines)
        if self._size >= self._max_bytes or not self._is_there():
            self._begin()
        self._write(data)
        if not self._is_there():  # taken away meanwhile, perhaps by somebody who had read it already
            self._begin()
            self._write(data)
        return [None] * len(lines)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _is_there(self) -> bool:
        """Whether what is written can still be found by its name."""
        if self._handle is None:
            return False
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._handle))
        except FileNotFoundError:
            return False

    def _write(self, data: bytes) -> None:
        assert self._handle is not None
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            os.fsync(self._handle)
        except OSError:
            self._take_back()
            raise
        self._size += len(data)

    def _take_back(self) -> None:
        """Leave the whole lines that were acknowledged, or no file; and begin another next time."""
        assert self._handle is not None
        with contextlib.suppress(OSError):  # of a disk that fails altogether nothing can be taken back
            if self._size:
                os.ftruncate(self._handle, self._size)
            else:
                os.unlink(self._path)
        self.close()

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.close()
        self._path = self._folder / f"feedback-{time.time_ns()}-{os.getpid()}.jsonl"
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size = 0
        try:
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a crash could lose the file's name
            finally:
                os.close(folder)
        except OSError:
            self._take_back()
            raise
