"""One training run: texts and labels in, a trained model out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from textcnn.artifact import Artifact
from textcnn.build import build_network, pick_device, resolve
from textcnn.config import RunConfig
from textcnn.data.labels import LabelSet, check_trainable
from textcnn.data.split import stratified_split
from textcnn.errors import ConfigError, DataError
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.registry import nearest
from textcnn.text.tokenizers import Tokenizer
from textcnn.train.checkpoint import CHECKPOINT, Checkpoint
from textcnn.train.loop import Examples, TrainingResult, fit_network, score
from textcnn.train.progress import Progress
from textcnn.types import Floats

Labelled = tuple[Sequence[str], Sequence[str]]


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, checked: the network untrained, the texts encoded."""

    config: RunConfig
    labels: LabelSet
    tokenizer: Tokenizer
    network: Network
    train: Examples
    held_out: Examples | None
    class_weights: npt.NDArray[np.float32] | None
    fingerprint: str


def train_classifier(
    config: RunConfig | Mapping[str, Any] | None,
    preset: str,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    validation: Labelled | None = None,
    progress: Progress | None = None,
    run_folder: Path | None = None,
    resume: bool = False,
) -> Artifact:
    """Resolve, split, learn vocabulary, train. Everything that can be wrong is checked before the first step."""
    progress = progress or Progress(quiet=True)
    ready = prepare(config, preset, texts, labels, validation=validation, progress=progress)
    checkpoint = None
    if run_folder:
        every = ready.config.train.checkpoint_seconds
        checkpoint = Checkpoint(run_folder / CHECKPOINT, ready.fingerprint, every)
    result = fit_network(
        ready.network, ready.train, ready.held_out, ready.config.train,
        class_weights=ready.class_weights, progress=progress, checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    network = ready.network.to("cpu")
    metrics = _metrics(network, ready.train, ready.held_out, result, len(ready.tokenizer))
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    return Artifact(ready.config, ready.labels, ready.tokenizer, weights, metrics)


def prepare(
    config: RunConfig | Mapping[str, Any] | None,
    preset: str,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    validation: Labelled | None = None,
    progress: Progress,
) -> Prepared:
    """All before the first step. Raises ConfigError, LabelError, DataError, VectorsError."""
    resolved = resolve(config.model_dump() if isinstance(config, RunConfig) else config or {}, preset=preset)
    if len(texts) != len(labels):
        raise DataError(f"{len(texts):,} texts and {len(labels):,} labels were given; there must be one label a text")
    names = LabelSet.from_labels(labels)
    check_trainable(labels)
    class_weights = weigh_classes(resolved, names, labels)
    train, held_out = _hold_out((texts, labels), validation, resolved)
    if held_out:
        names.encode(held_out[1])  # a label that training never sees is a mistake in the data, found now

    device = pick_device(resolved.train.device)
    if resolved.train.threads:
        torch.set_num_threads(resolved.train.threads)
    tokenizer, matrix, resolved = learn_text(train[0], resolved, progress)
    encoded = Examples(tokenizer.encode(train[0]), names.encode(train[1]))
    encoded_held_out = Examples(tokenizer.encode(held_out[0]), names.encode(held_out[1])) if held_out else None

    torch.manual_seed(resolved.train.seed)
    network = build_network(resolved, vocabulary=len(tokenizer), num_classes=len(names.names), matrix=matrix).to(device)
    trained = sum(param.numel() for param in network.parameters() if param.requires_grad)
    progress.note(
        f"training on {len(train[0]):,} texts"
        + (f", validating on {len(held_out[0]):,}" if held_out else ", without validation data")
        + f"; {len(names)} labels, {len(tokenizer):,} tokens in the vocabulary, {trained:,} weights, {device.type}"
    )
    return Prepared(
        resolved, names, tokenizer, network, encoded, encoded_held_out, class_weights,
        _fingerprint(resolved, train, held_out),
    )  # fmt: skip


def learn_text(
    texts: Sequence[str], config: RunConfig, progress: Progress
) -> tuple[Tokenizer, Floats | None, RunConfig]:
    """Vocabulary from the training texts and, where the embedding wants them, word vectors for it.

    The configuration comes back with the dimension that the vectors have.
    """
    embedding = config.model.embedding
    if embedding.mode == "rand":
        return Tokenizer.learn(texts, config.text), None, config
    from textcnn.text import vectors

    extra: Sequence[str] = ()
    if config.text.extra_words_from_vectors:
        extra = vectors.file_vocabulary(embedding.vectors, limit=config.text.extra_words_from_vectors)
    tokenizer = Tokenizer.learn(texts, config.text, extra_words=extra)
    loaded = vectors.load_vectors(embedding.vectors, tokenizer.tokens, seed=config.train.seed)
    counts = np.bincount(tokenizer.encode(texts).values, minlength=len(tokenizer))
    progress.note(vectors.coverage_sentence(loaded, counts))
    dim = loaded.matrix.shape[1]
    model = config.model.model_copy(update={"embedding": embedding.model_copy(update={"dim": dim})})
    return tokenizer, loaded.matrix, config.model_copy(update={"model": model})


def weigh_classes(config: RunConfig, names: LabelSet, labels: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """The weight of each class in the loss, float32[classes], or None for all alike.

    `balanced` is texts / (classes * texts of the class), as scikit-learn has it. Raises ConfigError for unknown labels.
    """
    weights = config.train.class_weights
    if weights == "none":
        return None
    if weights == "balanced":
        counts = Counter(labels)
        return np.array([len(labels) / (len(counts) * counts[name]) for name in names.names], np.float32)
    assert isinstance(weights, dict)
    unknown = [
        f"train.class_weights: there is no label {name!r}{nearest(name, names.names)}"
        for name in weights
        if name not in names.names
    ]
    if unknown:
        raise ConfigError(unknown)
    return np.array([weights.get(name, 1.0) for name in names.names], np.float32)


def _hold_out(given: Labelled, validation: Labelled | None, config: RunConfig) -> tuple[Labelled, Labelled | None]:
    if validation is not None or not config.data.validation_fraction:
        return given, validation
    texts, labels = given
    kept, held = stratified_split(texts, labels, fraction=config.data.validation_fraction, seed=config.data.seed)

    def pick(rows: npt.NDArray[np.int64]) -> Labelled:
        return [texts[row] for row in rows], [labels[row] for row in rows]

    return pick(kept), pick(held) if len(held) else None


def _metrics(
    network: Any, train: Examples, held_out: Examples | None, result: TrainingResult, vocabulary: int
) -> dict[str, Any]:
    validation = score(network, held_out, Distinct(vocabulary)) if held_out else None
    return {
        "training_texts": len(train.texts),
        "training_seconds": round(result.seconds, 3),
        "best_epoch": result.best_epoch,
        "interrupted": result.interrupted,
        "validation": {"texts": len(held_out.texts), **validation} if held_out and validation else None,
        "history": list(result.history),
    }


def _fingerprint(config: RunConfig, train: Labelled, held_out: Labelled | None) -> str:
    digest = hashlib.sha256(config.to_json().encode())
    for part in (train, held_out):
        for column in part or ():
            for value in column:
                digest.update(value.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
