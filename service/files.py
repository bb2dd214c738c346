"""Files that an operator writes while the service runs."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)  # to open a pipe would last until somebody writes to it


def read_file(path: Path) -> bytes:
    """The content of a regular file. Raises OSError, for a pipe or a device as well, which may have no end."""
    with open(os.open(path, os.O_RDONLY | WITHOUT_WAITING), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read()
