"""What does not fit in memory ends with a message."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch

from textcnn.errors import ConfigError

_ASKED = re.compile(r"allocate (\d+) bytes")


@contextlib.contextmanager
def memory_told() -> Iterator[None]:
    """Running out of memory, the machine's or the device's, becomes a ConfigError that says what would need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        of_torch = "can't allocate memory" in str(error)  # on a CPU it has no type of its own
        if not of_torch and not isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            raise
        asked = _ASKED.search(str(error))
        size = f" ({int(asked[1]) / 1e9:,.1f} GB were wanted at once)" if asked else ""
        raise ConfigError(
            f"the network and a batch do not fit in memory{size}: lower model.embedding.dim, the filters, "
            "text.max_vocabulary, text.max_length or train.batch_size"
        ) from error
