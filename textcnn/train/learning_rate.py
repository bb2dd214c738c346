"""Which learning rate to take: train with a rate that grows at every step and see where the loss falls fastest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from textcnn.config import RunConfig
from textcnn.data.batching import epoch_batches
from textcnn.data.label_rows import Labels
from textcnn.errors import DataError
from textcnn.nn.ragged import Distinct
from textcnn.presets import DEFAULT_PRESET
from textcnn.train.memory import memory_told
from textcnn.train.objective import Objective, make_loss
from textcnn.train.optimizers import make_optimizer
from textcnn.train.progress import Progress
from textcnn.train.run import Prepared, prepare
from textcnn.train.torch_state import torch_kept

SMOOTHING = 0.9  # of the losses, which are those of single batches
DIVERGED = 3.0  # times the least loss so far, and the test is over


@memory_told()
@torch_kept()
def learning_rates(
    config: RunConfig,
    texts: Sequence[str],
    labels: Labels,
    *,
    lowest: float = 1e-5,
    highest: float = 10.0,
    steps: int = 150,
    progress: Progress | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> list[tuple[float, float]]:
    """(rate, smoothed loss) of every step of the range test of Smith (2017, section 3.3), until the loss runs away.

    The rates are `steps` from `lowest` to `highest`, each a fixed factor above the one before. Raises as training does.
    `tell` gets the share of the steps that is done, 0 to 1.
    """
    ready = prepare(config, DEFAULT_PRESET, texts, labels, progress=progress or Progress(quiet=True))
    return _rise(ready, [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)], tell)


def _rise(ready: Prepared, rates: Sequence[float], tell: Callable[[float], None]) -> list[tuple[float, float]]:
    network, config = ready.network.train(), ready.config.train
    device = next(network.parameters()).device
    optimizer = make_optimizer(network, config)
    objective = Objective(
        network, make_loss(network, config, ready.class_weights).to(device), config, ready.config.model.auxiliary
    )
    distinct = Distinct(len(ready.tokenizer))
    lengths = ready.train.texts.lengths
    batches: list[Any] = []
    found: list[tuple[float, float]] = []
    average, least = 0.0, math.inf
    for step, rate in enumerate(rates):
        tell(step / len(rates))
        if not batches:
            batches = epoch_batches(lengths, config.batch_size, seed=config.seed, epoch=step)
        chosen = batches.pop()
        for group in optimizer.param_groups:
            group["lr"] = rate
        target = torch.from_numpy(ready.train.targets[chosen]).to(device)
        loss, _ = objective(distinct(ready.train.texts.take(chosen)).to(device), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.constrain()
        average = SMOOTHING * average + (1 - SMOOTHING) * float(loss.detach())
        smoothed = average / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(smoothed) or smoothed > DIVERGED * least:
            break
        least = min(least, smoothed)
        found.append((rate, smoothed))
    return found


def suggested_rate(found: Sequence[tuple[float, float]]) -> float:
    """The rate at which the loss falls fastest for each factor of the rate. Raises DataError if it never falls."""
    rates, losses = np.array(found).T
    slopes = np.gradient(losses, np.log(rates)) if len(rates) > 2 else np.zeros(len(rates))
    # before the least loss: behind it the network is already running away
    steepest = int(slopes[: int(losses.argmin()) + 1].argmin())
    if slopes[steepest] >= 0:
        raise DataError("the loss falls at no learning rate; widen the range, or look at the data")
    return float(rates[steepest])
