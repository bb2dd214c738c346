"""Pre-training on texts without labels: what comes out is an encoder to start from (textcnn train --start-from)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch

from textcnn.artifact import Artifact
from textcnn.build import build_encoder, pick_device, resolve
from textcnn.choices import Rebuild
from textcnn.config import RunConfig, WideConfig
from textcnn.data.batching import Indices, epoch_batches, prefetched
from textcnn.data.labels import LabelSet
from textcnn.errors import ConfigError, DataError
from textcnn.nn.autoencoder import BagAutoencoder, SequenceAutoencoder
from textcnn.nn.ragged import Distinct, RaggedIds
from textcnn.presets import DEFAULT_PRESET
from textcnn.train.interrupt import Interrupt
from textcnn.train.memory import memory_told
from textcnn.train.optimizers import make_optimizer
from textcnn.train.progress import REFRESH_STEPS, Progress
from textcnn.train.run import learn_text
from textcnn.train.torch_state import settle_torch, torch_kept
from textcnn.types import UNKNOWN_ID, TokenBatch

DAMAGED = 0.3  # share of the words that the encoder does not see
STRANGERS = 1000  # words beside those of the batch that a word must be told from
SCALE = 0.05  # word vectors begin at most this large: what a rare word began with would drown what little it learns
RARE = 1e-4  # bag: words up to this share of all words count fully, more frequent ones less (Mikolov et al. 2013)
Mask = npt.NDArray[np.bool_]
Batch = tuple[RaggedIds, RaggedIds, *tuple[torch.Tensor, ...]]


@memory_told()
@torch_kept()
def pretrain_encoder(
    config: RunConfig | Mapping[str, Any] | None,
    texts: Sequence[str],
    *,
    rebuild: Rebuild = "bag",
    preset: str = DEFAULT_PRESET,
    progress: Progress | None = None,
) -> Artifact:
    """Train the encoder as a denoising autoencoder for train.max_epochs epochs (Vincent et al. 2008).

    In every batch a share of the words is hidden. `bag` learns to tell from the pooled vector which words a text has,
    `sequence` to write from the output of the blocks which word stands where. The result has no labels. Raises
    ConfigError, DataError, VectorsError.
    """
    if rebuild not in get_args(Rebuild):
        raise ConfigError([f"rebuild is {rebuild!r}, expected {' or '.join(get_args(Rebuild))}"])
    progress = progress or Progress(quiet=True)
    resolved = resolve(config.model_dump() if isinstance(config, RunConfig) else config or {}, preset=preset)
    if resolved.text.segments != "none":
        raise ConfigError(
            f"pre-training reads whole texts, and text.segments is {resolved.text.segments!r}: pre-train with 'none', "
            "then set it for the training that starts from there"
        )
    if resolved.train.members > 1:
        raise ConfigError(
            f"pre-training makes one encoder, and train.members is {resolved.train.members}: set it for the training "
            "that starts from there"
        )
    if not resolved.model.blocks:
        raise DataError("there is no block to pre-train; see model.blocks")
    embedding = resolved.model.embedding
    embedding = embedding.model_copy(update={"scale": min(SCALE, embedding.scale)})
    model_config = resolved.model.model_copy(update={"embedding": embedding, "wide": WideConfig()})
    resolved = resolved.model_copy(update={"model": model_config})
    tokenizer, matrix, resolved = learn_text(texts, resolved, progress)
    batch = tokenizer.encode(texts)
    batch = batch.take(np.flatnonzero(batch.lengths))
    if not len(batch):
        raise DataError("no text has a word in it")
    device = pick_device(resolved.train.device)
    settle_torch(resolved.train)
    encoder = build_encoder(resolved.model, vocabulary=len(tokenizer), matrix=matrix, alphabet=tokenizer.alphabet).to(
        device
    )
    progress.note(f"pre-training on {len(batch):,} texts; {len(tokenizer):,} tokens in the vocabulary, {device.type}")
    model = (BagAutoencoder if rebuild == "bag" else SequenceAutoencoder)(encoder).to(device)
    figures = _fit(model, batch, len(tokenizer), resolved, progress)
    weights = {f"encoder.{name}": value.detach().cpu().numpy() for name, value in encoder.state_dict().items()}
    return Artifact(resolved, LabelSet(()), tokenizer, weights, {"pretraining_texts": len(batch), **figures})


def _fit(
    model: BagAutoencoder | SequenceAutoencoder, texts: TokenBatch, vocabulary: int, config: RunConfig,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """The figures of each epoch, and whether Ctrl-C ended it before the last."""
    train = config.train
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, train)
    damage = _BagDamage if isinstance(model, BagAutoencoder) else _SequenceDamage
    prepare = damage(texts, vocabulary, train.seed, device)
    objective: Callable[..., tuple[torch.Tensor, float]] = model.loss  # of what the damage makes
    by_length = not (isinstance(model, BagAutoencoder) and model.encoder.fused)
    history: list[dict[str, Any]] = []
    interrupted = False
    progress.begin(steps=-(-len(texts) // train.batch_size), epochs=train.max_epochs)
    model.train()
    try:
        with Interrupt() as interrupt:
            for epoch in range(1, train.max_epochs + 1):
                started, losses, rights, seen = time.perf_counter(), 0.0, 0.0, 0
                batches = epoch_batches(
                    texts.lengths, train.batch_size, seed=train.seed, epoch=epoch, by_length=by_length
                )
                items = [(epoch, step, chosen) for step, chosen in enumerate(batches)]
                for step, batch in enumerate(prefetched(prepare, items)):
                    loss, right = objective(*batch)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    count = len(batch[0])
                    losses, rights, seen = losses + float(loss.detach()) * count, rights + right * count, seen + count
                    if interrupt.asked:
                        raise KeyboardInterrupt
                    if step % REFRESH_STEPS == 0:
                        rate = seen / (time.perf_counter() - started)
                        progress.step(
                            epoch, step + 1, loss=losses / seen, accuracy=rights / seen, texts_per_second=rate
                        )
                seconds = time.perf_counter() - started
                record = {
                    "epoch": epoch, "train_loss": losses / seen, "train_accuracy": rights / seen,
                    "learning_rate": train.learning_rate, "seconds": seconds, "texts_per_second": seen / seconds,
                }  # fmt: skip
                history.append(record)
                progress.epoch(record, best=False)
    except KeyboardInterrupt:
        interrupted = True
        progress.note("interrupted: keeping what was learned so far")
    finally:
        progress.end()
    return {"history": history, "interrupted": interrupted}


class _Damage:
    """Makes the batches: texts with hidden words, candidates, and what is wanted of them."""

    def __init__(self, texts: TokenBatch, vocabulary: int, seed: int, device: torch.device) -> None:
        self._texts, self._vocabulary, self._seed, self._device = texts, vocabulary, seed, device
        self._distinct = Distinct(vocabulary)

    def __call__(self, item: tuple[int, int, Indices]) -> Batch:
        epoch, step, chosen = item
        random = np.random.default_rng((self._seed, epoch, step))
        batch = self._texts.take(chosen)
        words, places = np.unique(batch.values, return_inverse=True)
        strangers = np.setdiff1d(random.integers(0, self._vocabulary, STRANGERS), words)
        one_text = np.array([0, len(words) + len(strangers)], np.int64)
        candidates = self._distinct(batch.with_values(np.concatenate([words, strangers]).astype(np.int32), one_text))
        hidden = random.random(len(batch.values)) < DAMAGED
        hidden[random.integers(0, len(hidden))] = True  # never none
        damaged = batch.with_values(np.where(hidden, np.int32(UNKNOWN_ID), batch.values))
        own = candidates.local.numpy()[places].astype(np.int64)
        wanted = self.wanted(batch, own, len(candidates.local), hidden, random)
        tensors = [torch.from_numpy(array).to(self._device) for array in wanted]
        return self._distinct(damaged).to(self._device), candidates.to(self._device), *tensors

    def wanted(
        self, batch: TokenBatch, places: Indices, candidates: int, hidden: Mask, random: np.random.Generator
    ) -> tuple[npt.NDArray[Any], ...]:
        """What the loss takes behind the candidates; `places` int64[N] are the tokens' own words among them."""
        raise AssertionError("a subclass says what")


class _SequenceDamage(_Damage):
    """Hidden words count, and as many of the others, so that what is seen is passed on."""

    def wanted(
        self, batch: TokenBatch, places: Indices, candidates: int, hidden: Mask, random: np.random.Generator
    ) -> tuple[npt.NDArray[Any], ...]:
        scored = (hidden | (random.random(len(hidden)) < DAMAGED)) & ~batch.unknown
        scored |= ~scored.any()
        return places, scored


class _BagDamage(_Damage):
    """Every word of a text counts once, frequent ones less: which of them a text has says little about it."""

    def __init__(self, texts: TokenBatch, vocabulary: int, seed: int, device: torch.device) -> None:
        super().__init__(texts, vocabulary, seed, device)
        share = np.bincount(texts.values, minlength=vocabulary) / len(texts.values)
        self._counts = np.minimum(1.0, np.sqrt(RARE / np.maximum(share, RARE))).astype(np.float32)

    def wanted(
        self, batch: TokenBatch, places: Indices, candidates: int, hidden: Mask, random: np.random.Generator
    ) -> tuple[npt.NDArray[Any], ...]:
        wanted = np.zeros((len(batch), candidates), np.float32)
        # a text of unknown words alone needs something to say, but it should not count beside real ones
        counts = np.where(batch.unknown, np.float32(1e-6), self._counts[batch.values])
        wanted[np.repeat(np.arange(len(batch)), batch.lengths), places] = counts
        return (wanted,)
