"""Pre-training on texts without labels: what comes out is an encoder to start from (textcnn train --start-from)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from textcnn.artifact import Artifact
from textcnn.build import build_encoder, pick_device, resolve
from textcnn.config import RunConfig
from textcnn.data.batching import Indices, epoch_batches, prefetched
from textcnn.data.labels import LabelSet
from textcnn.errors import ConfigError, DataError
from textcnn.nn.autoencoder import Autoencoder
from textcnn.nn.ragged import Distinct, RaggedIds
from textcnn.presets import DEFAULT_PRESET
from textcnn.text.tokenizers import UNKNOWN_ID
from textcnn.train.optimizers import make_optimizer
from textcnn.train.progress import REFRESH_STEPS, Progress
from textcnn.train.run import learn_text
from textcnn.types import TokenBatch

DAMAGED = 0.3  # share of the words that the encoder does not see
STRANGERS = 1000  # words beside those of the batch that a word must be told from
Batch = tuple[RaggedIds, torch.Tensor, torch.Tensor, torch.Tensor]


def pretrain_encoder(
    config: RunConfig | Mapping[str, Any] | None,
    texts: Sequence[str],
    *,
    preset: str = DEFAULT_PRESET,
    progress: Progress | None = None,
) -> Artifact:
    """Train embedding and blocks as a denoising autoencoder for train.max_epochs epochs (Vincent et al. 2008).

    In every batch a share of the words is hidden, and the network learns to write them; as many of the others count
    too. The result has no labels. Raises ConfigError, DataError, VectorsError.
    """
    progress = progress or Progress(quiet=True)
    resolved = resolve(config.model_dump() if isinstance(config, RunConfig) else config or {}, preset=preset)
    if resolved.text.segments != "none":
        raise ConfigError(
            f"pre-training reads whole texts, and text.segments is {resolved.text.segments!r}: pre-train with 'none', "
            "then set it for the training that starts from there"
        )
    if not resolved.model.blocks:
        raise DataError("there is no block to pre-train; see model.blocks")
    tokenizer, matrix, resolved = learn_text(texts, resolved, progress)
    batch = tokenizer.encode(texts)
    batch = batch.take(np.flatnonzero(batch.lengths))
    if not len(batch):
        raise DataError("no text has a word in it")
    device = pick_device(resolved.train.device)
    if resolved.train.threads:
        torch.set_num_threads(resolved.train.threads)
    torch.manual_seed(resolved.train.seed)
    encoder = build_encoder(resolved, vocabulary=len(tokenizer), matrix=matrix).to(device)
    progress.note(f"pre-training on {len(batch):,} texts; {len(tokenizer):,} tokens in the vocabulary, {device.type}")
    history = _fit(Autoencoder(encoder).to(device), batch, len(tokenizer), resolved, progress)
    weights = {f"encoder.{name}": value.detach().cpu().numpy() for name, value in encoder.state_dict().items()}
    return Artifact(resolved, LabelSet(()), tokenizer, weights, {"pretraining_texts": len(batch), "history": history})


def _fit(
    model: Autoencoder, texts: TokenBatch, vocabulary: int, config: RunConfig, progress: Progress
) -> list[dict[str, Any]]:
    train = config.train
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, train)
    prepare = _Damage(texts, vocabulary, train.seed, device)
    history: list[dict[str, Any]] = []
    progress.begin(steps=-(-len(texts) // train.batch_size), epochs=train.max_epochs)
    model.train()
    try:
        for epoch in range(1, train.max_epochs + 1):
            started, losses, rights, seen = time.monotonic(), 0.0, 0.0, 0
            batches = epoch_batches(texts.lengths, train.batch_size, seed=train.seed, epoch=epoch, by_length=True)
            items = [(epoch, step, chosen) for step, chosen in enumerate(batches)]
            for step, batch in enumerate(prefetched(prepare, items)):
                loss, right = model.loss(*batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                count = len(batch[0])
                losses, rights, seen = losses + float(loss.detach()) * count, rights + right * count, seen + count
                if step % REFRESH_STEPS == 0:
                    rate = seen / (time.monotonic() - started)
                    progress.step(epoch, step, loss=losses / seen, accuracy=rights / seen, texts_per_second=rate)
            seconds = time.monotonic() - started
            record = {
                "epoch": epoch, "train_loss": losses / seen, "train_accuracy": rights / seen,
                "learning_rate": train.learning_rate, "seconds": seconds, "texts_per_second": seen / seconds,
            }  # fmt: skip
            history.append(record)
            progress.epoch(record, best=False)
    except KeyboardInterrupt:
        progress.note("interrupted: keeping what was learned so far")
    finally:
        progress.end()
    return history


class _Damage:
    """Makes the batches: texts with hidden words, candidates, targets, and which words count."""

    def __init__(self, texts: TokenBatch, vocabulary: int, seed: int, device: torch.device) -> None:
        self._texts, self._vocabulary, self._seed, self._device = texts, vocabulary, seed, device
        self._distinct = Distinct(vocabulary)

    def __call__(self, item: tuple[int, int, Indices]) -> Batch:
        epoch, step, chosen = item
        random = np.random.default_rng((self._seed, epoch, step))
        batch = self._texts.take(chosen)
        words, places = np.unique(batch.values, return_inverse=True)
        strangers = np.setdiff1d(random.integers(0, self._vocabulary, STRANGERS), words)
        candidates = np.concatenate([words, strangers]).astype(np.int64)
        hidden = random.random(len(batch.values)) < DAMAGED
        hidden[random.integers(0, len(hidden))] = True  # never none
        scored = (hidden | (random.random(len(hidden)) < DAMAGED)) & (batch.values != UNKNOWN_ID)
        scored |= ~scored.any()
        damaged = TokenBatch(np.where(hidden, np.int32(UNKNOWN_ID), batch.values), batch.offsets)
        arrays = (candidates, places.astype(np.int64), scored)
        tensors = [torch.from_numpy(array).to(self._device) for array in arrays]
        return self._distinct(damaged).to(self._device), *tensors  # type: ignore[return-value]
