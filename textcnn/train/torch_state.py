"""torch's threads and random numbers, which belong to the whole process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from textcnn.config import TrainConfig


def settle_torch(config: TrainConfig) -> None:
    """The threads and the seed that the configuration asks for; 0 threads leaves them as they are, one a core."""
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)


@contextmanager
def torch_kept() -> Iterator[None]:
    """Both are afterwards as they were: who trains a model does not want other random numbers elsewhere."""
    threads = torch.get_num_threads()
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
