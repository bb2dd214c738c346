from __future__ import annotations

import pytest
import torch

from textcnn import TextClassifier
from textcnn.errors import ConfigError
from textcnn.train import run
from textcnn.train.memory import memory_told


def test_memory_that_torch_does_not_get_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"do not fit in memory \(4,000,000.0 GB were wanted.*model.embedding.dim"):
        with memory_told():
            torch.empty(10**15)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_so_is_that_of_numpy_and_of_a_device(error: Exception) -> None:
    with pytest.raises(ConfigError, match="do not fit in memory: lower"), memory_told():
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="something else"), memory_told():
        raise RuntimeError("something else")


def test_training_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(run, "build_network", too_large)
    with pytest.raises(ConfigError, match="do not fit in memory"):
        TextClassifier().fit(["good", "bad"] * 4, ["yes", "no"] * 4)
