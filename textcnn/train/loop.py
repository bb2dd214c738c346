"""The training loop: one place, in order."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError

from textcnn.config import AuxiliaryConfig, TrainConfig
from textcnn.data.batching import Indices, epoch_batches, prefetched
from textcnn.errors import DivergedError
from textcnn.inference.torch_engine import network_logits
from textcnn.nn.losses import Loss
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct, RaggedIds
from textcnn.registry import AUGMENTATIONS
from textcnn.train.averaging import WeightAverage
from textcnn.train.checkpoint import Checkpoint
from textcnn.train.early_stopping import EarlyStopping
from textcnn.train.interrupt import Interrupt
from textcnn.train.objective import Objective, make_loss
from textcnn.train.optimizers import make_optimizer
from textcnn.train.progress import REFRESH_STEPS, Progress
from textcnn.train.schedule import Schedule
from textcnn.types import Floats, TokenBatch

Tensor = torch.Tensor
LARGEST_LOSS = 1e4  # a network that guesses has the logarithm of its classes


@dataclass(frozen=True, slots=True)
class Examples:
    """Encoded texts and their targets, one a text, as LabelRows.encode gives them."""

    texts: TokenBatch
    targets: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What happened: a record per epoch, the epoch whose weights the network now has, seconds, and how it ended."""

    history: tuple[dict[str, Any], ...]
    best_epoch: int
    seconds: float
    interrupted: bool


def fit_network(
    network: Network,
    train: Examples,
    validation: Examples | None,
    config: TrainConfig,
    *,
    auxiliary: AuxiliaryConfig | None = None,
    class_weights: npt.NDArray[np.float32] | None = None,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    spare: bool = False,
) -> TrainingResult:
    """Train `network` in place and leave it with the weights of the best epoch (the last one without validation data).

    Ctrl-C ends training early and keeps the best so far. With `resume`, goes on from `checkpoint` where there is one;
    on a CPU the result has the same bits as a run that was never stopped. `spare`: without a finished epoch the caller
    does without this network. Raises CheckpointError.
    """
    started = time.perf_counter()
    device = next(network.parameters()).device
    vocabulary = len(_embedding_rows(network))
    optimizer = make_optimizer(network, config)
    steps = -(-len(train.texts) // config.batch_size)
    stopping, schedule = EarlyStopping.from_config(config), Schedule.from_config(config, steps_per_epoch=steps)
    average = WeightAverage(network, config.ema)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
    criterion = make_loss(network, config)  # of validation: every text counts alike
    objective = Objective(network, make_loss(network, config, class_weights).to(device), config, auxiliary)
    distinct = Distinct(vocabulary)
    vectors = None if not config.augmentations else _embedding_rows(network).detach().cpu().numpy().copy()
    augmentations = [AUGMENTATIONS.build(spec, vectors=vectors) for spec in config.augmentations]
    best: dict[str, Tensor] | None = None
    history: list[dict[str, Any]] = []
    first_epoch, first_step, spent = 1, 0, 0.0
    sums = [0.0, 0.0, 0]  # of the running epoch: loss, right answers, texts
    if checkpoint and not resume and not checkpoint.finished:
        checkpoint.remove()
    if resume and not (checkpoint and checkpoint.exists()):
        progress.note("there is no checkpoint to resume from; training from the start")
    elif resume and checkpoint:
        place, best = checkpoint.load(network, optimizer, average)
        history, sums, spent = place["history"], place["sums"], place["seconds"]
        first_epoch, first_step = place["epoch"], place["step"]
        stopping = EarlyStopping.from_json(place["stopping"])
        schedule = Schedule(**place["schedule"])
        if scaler.is_enabled():
            scaler.load_state_dict(place["scaler"])
        progress.note(f"resuming at epoch {first_epoch}, step {first_step}")

    def save(epoch: int, step: int) -> None:
        assert checkpoint is not None
        place = {
            "epoch": epoch, "step": step, "history": history, "sums": sums,
            "seconds": spent + time.perf_counter() - started,
            "stopping": asdict(stopping), "schedule": asdict(schedule), "scaler": scaler.state_dict(),
        }  # fmt: skip
        try:
            checkpoint.save(network, optimizer, average, best, place)
        except (OSError, SafetensorError) as error:  # no reason to lose what is in memory
            progress.note(f"cannot write the checkpoint {checkpoint.path}: {error}")

    def prepare(item: tuple[int, Indices]) -> tuple[RaggedIds, Tensor]:
        step, chosen = item
        texts = train.texts.take(chosen)
        random = np.random.default_rng((config.seed, epoch, step)) if augmentations else None
        for augment in augmentations:
            texts = augment(texts, random)
        return distinct(texts).to(device), torch.from_numpy(train.targets[chosen]).to(device)

    if checkpoint and checkpoint.finished and not resume:
        save(first_epoch, first_step)  # the networks before it are not trained again
    done = (first_epoch - 1) * steps + first_step
    progress.begin(steps=steps, epochs=config.max_epochs, done=done, history=history)
    lengths = train.texts.lengths
    saved = time.perf_counter()
    epoch, interrupted = first_epoch, False
    try:
        with Interrupt() as interrupt:
            for epoch in range(first_epoch, config.max_epochs + 1):
                if stopping.stop:
                    break
                network.train()
                objective.start(epoch)
                epoch_started, seen_before = time.perf_counter(), sums[2]
                batches = epoch_batches(
                    lengths, config.batch_size, seed=config.seed, epoch=epoch, by_length=not network.encoder.fused
                )
                numbered = list(enumerate(batches))[first_step:]
                for step, (ids, target) in enumerate(prefetched(prepare, numbered), start=first_step):
                    schedule.before_step(optimizer, (epoch - 1) * steps + step)
                    with _precision(config, device):
                        loss, logits = objective(ids, target)
                    optimizer.zero_grad()
                    scaler.scale(loss).backward()
                    if config.clip_norm:
                        scaler.unscale_(optimizer)
                        clip_gradients_(network, config.clip_norm)
                    scaler.step(optimizer)
                    scaler.update()
                    network.constrain()
                    average.update()

                    sums[0] += float(loss.detach()) * len(target)
                    sums[1] += network.head.right(logits.detach(), target)
                    sums[2] += len(target)
                    if interrupt.asked:
                        if checkpoint:
                            save(epoch, step + 1)
                        raise KeyboardInterrupt
                    # once in a while: tell, and keep what is there
                    if step % REFRESH_STEPS == 0:
                        check_bounds(sums[0] / sums[2], epoch, config)
                        rate = (sums[2] - seen_before) / (time.perf_counter() - epoch_started)
                        progress.step(
                            epoch, step + 1, loss=sums[0] / sums[2], accuracy=sums[1] / sums[2], texts_per_second=rate
                        )
                    if checkpoint and time.perf_counter() - saved >= checkpoint.every_seconds:
                        save(epoch, step + 1)
                        saved = time.perf_counter()
                check_bounds(sums[0] / sums[2], epoch, config)
                seconds = time.perf_counter() - epoch_started
                record: dict[str, Any] = {
                    "epoch": epoch,
                    "train_loss": sums[0] / sums[2],
                    "train_accuracy": sums[1] / sums[2],
                    "learning_rate": optimizer.param_groups[0]["lr"],
                    "seconds": seconds,
                    "texts_per_second": (sums[2] - seen_before) / seconds,
                }
                with average.applied():
                    if validation is not None:
                        figures = score(network, validation, distinct, criterion)
                        record |= {f"validation_{key}": value for key, value in figures.items()}
                        is_best = stopping.better(epoch, **figures)
                        schedule.after_epoch(loss=figures["loss"])
                    else:
                        is_best, stopping.best_epoch = True, epoch
                    if is_best:
                        best = {name: value.detach().clone() for name, value in network.state_dict().items()}
                history.append(record)
                progress.epoch(record, best=is_best)
                first_step, sums = 0, [0.0, 0.0, 0]
                if checkpoint and time.perf_counter() - saved >= checkpoint.every_seconds:
                    save(epoch + 1, 0)
                    saved = time.perf_counter()
    except KeyboardInterrupt:
        interrupted = True
        unfinished = "what was trained before" if spare else f"the weights of the unfinished epoch {epoch}"
        kept = f"the weights of epoch {stopping.best_epoch}" if best else unfinished
        progress.note(f"interrupted: keeping {kept}")
    finally:
        progress.end()
    if best:
        network.load_state_dict(best)
    network.eval()
    return TrainingResult(
        tuple(history), stopping.best_epoch or epoch, spent + time.perf_counter() - started, interrupted
    )


def score(network: Network, examples: Examples, distinct: Distinct, criterion: Loss | None = None) -> dict[str, float]:
    """Mean loss (of the head's usual kind, unless another is given) and accuracy, without dropout."""
    network.eval()
    return measure(network, network_logits(network, examples.texts, distinct), examples.targets, criterion)


def measure(
    network: Network, logits: Floats, targets: npt.NDArray[Any], criterion: Loss | None = None
) -> dict[str, float]:
    """The same of logits float32[B, C] that are there already, by the head of the network."""
    criterion = criterion or make_loss(network)
    wanted, answers = torch.from_numpy(targets), torch.from_numpy(logits)
    loss = network.head.loss(answers, wanted, criterion)
    return {"loss": float(loss), "accuracy": network.head.right(answers, wanted) / len(wanted)}


def check_bounds(loss: float, epoch: int, config: TrainConfig) -> None:
    """Raises DivergedError for a mean loss from which no training comes back."""
    if not math.isfinite(loss) or loss > LARGEST_LOSS:
        raise DivergedError(
            f"training diverged in epoch {epoch}: the loss is {loss:.3g}. Lower train.learning_rate "
            f"(now {config.learning_rate:g}), or set train.clip_norm"
        )


@torch.no_grad()
def clip_gradients_(network: torch.nn.Module, max_norm: float) -> None:
    """Scale all gradients together so that their L2 norm is at most `max_norm`; row-sparse ones included."""
    values = []
    for param in network.parameters():
        if param.grad is not None:
            if param.grad.is_sparse:
                param.grad = param.grad.coalesce()
            values.append(param.grad.values() if param.grad.is_sparse else param.grad)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
    if norm > max_norm:
        for value in values:
            value.mul_(max_norm / norm)


def _precision(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager[None]:
    if config.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, config.precision))


def _embedding_rows(network: Network) -> Tensor:
    embedding = network.encoder.embedding
    rows = embedding.weight if embedding.weight is not None else embedding.fixed
    assert rows is not None
    return rows
