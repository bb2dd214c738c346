"""One GPU for each of several processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus_here(environment: Mapping[str, str], devices: Path = Path("/dev")) -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; found without loading CUDA."""
    given = environment.get(VISIBLE)
    if given is None:
        return [str(number) for number, _ in enumerate(devices.glob("nvidia[0-9]*"))]
    # CUDA itself reads no further than the first that is none
    named: list[str] = []
    for name in given.split(","):
        if not name.strip() or name.strip().startswith("-"):
            break
        named.append(name.strip())
    return named


def gpu_of(worker: int, device: str, gpus: list[str]) -> str | None:
    """The GPU of a process, counted from 0: they take turns. None where the device is the CPU or was named."""
    return gpus[worker % len(gpus)] if gpus and device in ("auto", "cuda") else None


def take_gpu(worker: int, device: str) -> str | None:
    """Leave this process one GPU only, so that it holds no memory on others. Before CUDA is loaded."""
    gpu = gpu_of(worker, device, gpus_here(os.environ))
    if gpu is not None:
        os.environ[VISIBLE] = gpu
    return gpu
