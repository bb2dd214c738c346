"""Files that appear under their name when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, beside: Path | None = None) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` if the block ends well and is gone if it does not.

    It is `beside`, or one of this process's own in the same folder, with the ending of `path`, by which some libraries
    choose how to write. A link stays one; a pipe or a device is written to as it is. Raises OSError.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve() if path.is_symlink() else path
    beside = beside or path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
