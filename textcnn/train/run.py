"""One training run: texts and labels in, a trained model out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from textcnn.answers import best_thresholds, expected, is_single, predictions, probabilities, tree_levels
from textcnn.artifact import Artifact, read_artifact
from textcnn.build import build_network, pick_device, resolve
from textcnn.calibration.calibration import Calibration, unknown_share
from textcnn.calibration.fit import LEAST_TEXTS, Validation
from textcnn.config import RunConfig
from textcnn.data.label_rows import LabelRows, Labels, check_pairs
from textcnn.data.labels import LabelSet, listing, once
from textcnn.data.split import stratified_split
from textcnn.data.texts import Texts, text_strings, texts_of
from textcnn.errors import ConfigError, DataError, LabelError
from textcnn.evaluation.reliability import fit_and_measure
from textcnn.inference.torch_engine import artifact_network, network_logits
from textcnn.kernels.ngram_linear import NgramLinear
from textcnn.members import merge_weights
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.registry import nearest
from textcnn.text.tokenizers import Tokenizer
from textcnn.train.checkpoint import CHECKPOINT, Checkpoint
from textcnn.train.interrupt import Interrupt
from textcnn.train.loop import Examples, measure
from textcnn.train.members import Member, fit_members, histories
from textcnn.train.memory import memory_told
from textcnn.train.progress import Progress
from textcnn.train.torch_state import settle_torch, torch_kept
from textcnn.train.transfer import check_fits, learn_tokens, start_from, with_source
from textcnn.train.wide import EQUAL, fit_wide, weigh, wide_logits
from textcnn.types import Floats

Labelled = tuple[Texts, Labels]
Rows = tuple[Sequence[str], LabelRows]
LABELS_NAMED = 3


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, checked: the network untrained, the texts encoded.

    `another` makes an untrained network of another seed, where there are to be several.
    """

    config: RunConfig
    labels: LabelSet
    tokenizer: Tokenizer
    network: Network
    another: Callable[[int], Network] | None
    train: Examples
    held_out: Examples | None
    class_weights: npt.NDArray[np.float32] | None
    fingerprint: str


@memory_told()
@torch_kept()
def train_classifier(
    config: RunConfig | Mapping[str, Any] | None,
    preset: str,
    texts: Texts,
    labels: Labels,
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
    wide = None
    if ready.config.model.wide.ngrams:  # before the network: nothing is lost where somebody presses Ctrl-C
        progress.note("fitting the linear classifier on n-grams")
        with progress.during("n-grams") as tell:
            wide = fit_wide(
                ready.network, ready.train, ready.config.model.wide, tokens=ready.tokenizer.tokens,
                class_weights=ready.class_weights, tell=tell,
            )  # fmt: skip
    with Interrupt():  # also while what was trained is measured and calibrated
        members = fit_members(
            ready.network, ready.another, len(ready.tokenizer), ready.train, ready.held_out, ready.config,
            class_weights=ready.class_weights, progress=progress, checkpoint=checkpoint, resume=resume,
        )  # fmt: skip
        wanted = ready.config.train.members
        ready = _together(ready, members)
        network, held_out, logits = ready.network, ready.held_out, None
        if held_out:
            logits = network_logits(network, held_out.texts, Distinct(len(ready.tokenizer)))
        beside = None
        if wide:
            wide, logits, beside = _beside(ready, wide, logits)
            progress.note(_beside_sentence(beside))
        metrics = _metrics(ready, logits, members, wanted) | ({"wide": beside} if beside else {})
        calibration, figures = _calibrated(ready, logits)
        config = _with_thresholds(ready, logits)
        if logits is not None:
            found = probabilities(logits, config.model.head, calibration)
            metrics["expected"] = expected(predictions(found, ready.labels.names, config.model.head, 1))
    weights = {
        name: value.detach().numpy()
        for name, value in network.state_dict().items()
        if not name.startswith("auxiliary.")
    }
    if figures:
        progress.note(_calibration_sentence(calibration, figures))
        metrics["calibration"] = figures
    return Artifact(config, ready.labels, ready.tokenizer, weights, metrics, wide, calibration)


def _beside(
    ready: Prepared, wide: NgramLinear, logits: Floats | None
) -> tuple[NgramLinear, Floats | None, dict[str, Any]]:
    """The linear classifier as it stands beside the network, the logits of both together, and what each is worth.

    What the network counts goes into the last weights of its head. `logits` are the network's of the validation texts.
    """
    network, held_out, shares = ready.network, ready.held_out, (EQUAL, EQUAL)
    figures: dict[str, Any] = {"ngrams": len(wide.keys)}
    if wide.characters:
        figures["character_ngrams"] = len(wide.characters.keys)
    if held_out and logits is not None:
        alone = wide_logits(wide, held_out.texts)
        shares = weigh(network, logits, alone, held_out.targets)
        figures["network_alone"] = measure(network, logits, held_out.targets)
        figures["ngrams_alone"] = measure(network, alone, held_out.targets)
    deep, linear = shares
    with torch.no_grad():
        for value in network.head.linear.parameters():
            value.mul_(deep)
    wide = wide.times(linear)
    if held_out and logits is not None:
        logits = logits * np.float32(deep)
        wide.add_logits(held_out.texts, logits)
        figures["together"] = measure(network, logits, held_out.targets)
    return wide, logits, figures | {"network_counts": round(deep, 4), "ngrams_count": round(linear, 4)}


def _beside_sentence(figures: Mapping[str, Any]) -> str:
    parts = [f"{figures['ngrams']:,} n-grams"]
    if "character_ngrams" in figures:
        parts.append(f"{figures['character_ngrams']:,} of characters")
    names = {"network_alone": "the network alone", "ngrams_alone": "n-grams alone", "together": "both together"}
    parts += [f"{figures[key]['accuracy']:.1%} by {name}" for key, name in names.items() if key in figures]
    return "validation accuracy with " * ("together" in figures) + ", ".join(parts)


def _together(ready: Prepared, members: Sequence[Member]) -> Prepared:
    """With the network that all of them are, and the configuration that says so."""
    if ready.config.train.members == 1:
        return ready
    train = ready.config.train.model_copy(update={"members": len(members)})  # fewer, if somebody pressed Ctrl-C
    config = ready.config.model_copy(update={"train": train})
    given = [{name: value.numpy() for name, value in member.weights.items()} for member in members]
    weights = merge_weights(given, config.model) if len(given) > 1 else given[0]
    network = artifact_network(Artifact(config, ready.labels, ready.tokenizer, weights, {})).eval()
    return replace(ready, config=config, network=network)


def _calibrated(ready: Prepared, logits: Floats | None) -> tuple[Calibration, dict[str, Any] | None]:
    """Temperature, label sets and familiarity by the logits of the validation texts, and the figures before and after.

    Without validation texts nothing is fitted: the training texts would teach the network's own over-confidence. With
    too few for a temperature, plain softmax stays.
    """
    if ready.held_out is None or logits is None or not is_single(ready.config.model.head):
        return Calibration(), None
    texts = ready.held_out.texts
    validation = Validation(logits, ready.held_out.targets, unknown_share(texts.unknown, texts.offsets))
    return fit_and_measure(validation, "temperature" if validation.allows("temperature") else "none")


def _calibration_sentence(calibration: Calibration, figures: Mapping[str, Any]) -> str:
    before, after, texts = figures["before"], figures["after"], f"{figures['texts']:,} validation texts"
    if figures["tried"] == "none":
        few = f"fewer than {LEAST_TEXTS['temperature']} validation texts, or all of one label"
        return f"{few}: probabilities are the plain softmax"
    if figures["method"] == "none":
        return (
            f"plain softmax: a temperature does not lower the log loss on {texts} "
            f"({before['loss']:.4f} before, {figures['tried_loss']:.4f} after, cross-fitted)"
        )
    return (
        f"probabilities calibrated on {texts}: temperature {calibration.temperature:.2f}; "
        f"calibration error {before['ece']:.1%} before, {after['ece']:.1%} after"
        f" (with so few texts chance alone makes {after['ece_by_chance']:.1%})"
    )


def prepare(
    config: RunConfig | Mapping[str, Any] | None,
    preset: str,
    texts: Texts,
    labels: Labels,
    *,
    validation: Labelled | None = None,
    progress: Progress,
) -> Prepared:
    """All before the first step. Raises ConfigError, LabelError, DataError, VectorsError."""
    resolved, source = _resolved(config, preset, texts)
    rows = _rows(texts, labels, resolved)
    resolved, names = _with_labels(resolved, rows[1])
    class_weights = weigh_classes(resolved, names, rows[1].flat)
    train, held_out = _hold_out(rows, _rows(*validation, resolved) if validation else None, resolved)
    if held_out:
        held_out[1].encode(names)  # a label that training never sees is a mistake in the data, found now
        if validation:
            held_out[1].check_validates()

    device = pick_device(resolved.train.device)
    if source:
        tokenizer, matrix = learn_tokens(train[0], resolved, source), None
    else:
        tokenizer, matrix, resolved = learn_text(train[0], resolved, progress)
    encoded = Examples(tokenizer.encode(train[0]), train[1].encode(names))
    encoded_held_out = Examples(tokenizer.encode(held_out[0]), held_out[1].encode(names)) if held_out else None

    untrained = partial(_untrained, resolved, names, tokenizer, matrix, source, device)
    network, words = untrained(resolved.train.seed)
    if source:
        progress.note(
            f"starting from {source.name}/{source.version}: its blocks, {words:,} of {len(tokenizer):,} words"
        )
    members = resolved.train.members
    trained = sum(param.numel() for param in network.parameters() if param.requires_grad)
    progress.note(
        f"training on {len(train[0]):,} texts"
        + (f", validating on {len(held_out[0]):,}" if held_out else ", without validation data")
        + f"; {len(names)} labels, {len(tokenizer):,} tokens in the vocabulary, "
        + (f"{members} members of " if members > 1 else "")
        + f"{trained:,} weights, {device.type}"
    )
    unlabelled = sum(not any(row) for row in rows[1].rows) if rows[1].many else 0
    if unlabelled:
        progress.note(
            f"{unlabelled:,} of {len(rows[0]):,} texts have no label, which is learned as an answer: none of them. "
            "Take out those that only nobody has labelled yet"
        )
    single = once(dict(zip(names.names, names.counts, strict=True)))
    if single:
        progress.note(
            f"{len(single)} {'label has' if len(single) == 1 else 'labels have'} only one row, which is trained on: "
            f"nothing can say how well {'it is' if len(single) == 1 else 'they are'} learned: {listing(single)}. "
            "Add rows, or join them with another label"
        )
    unchecked = sorted(set(names.names).difference(held_out[1].flat, single)) if held_out else []
    if unchecked:
        progress.note(
            f"no validation text has the label {' or '.join(map(repr, unchecked[:LABELS_NAMED]))}"
            f"{f' or {len(unchecked) - LABELS_NAMED} others' if len(unchecked) > LABELS_NAMED else ''}: "
            "the figures of validation say nothing of it"
        )
    return Prepared(
        resolved, names, tokenizer, network,
        (lambda seed: untrained(seed)[0]) if members > 1 else None, encoded, encoded_held_out,
        class_weights, _fingerprint(resolved, train, held_out),
    )  # fmt: skip


def _untrained(
    config: RunConfig, names: LabelSet, tokenizer: Tokenizer, matrix: Floats | None, source: Artifact | None,
    device: torch.device, seed: int,
) -> tuple[Network, int]:  # fmt: skip
    """The network before its first step, by torch's generator, which is put to `seed`; words that `source` knows."""
    settle_torch(config.train.model_copy(update={"seed": seed}))
    network = build_network(
        config, vocabulary=len(tokenizer), num_classes=len(names), matrix=matrix, alphabet=tokenizer.alphabet,
        training=True,
    ).to(device)  # fmt: skip
    return network, start_from(network, tokenizer, source) if source else 0


def _resolved(
    config: RunConfig | Mapping[str, Any] | None, preset: str, texts: Texts
) -> tuple[RunConfig, Artifact | None]:
    """The whole configuration, and the model to start from, if one is named."""
    values = config.model_dump() if isinstance(config, RunConfig) else {} if config is None else config
    resolved = resolve(with_source(values, preset), preset=preset)
    source = read_artifact(resolved.train.start_from) if resolved.train.start_from else None
    if source:
        check_fits(resolved, source)
    return _with_columns(resolved, texts), source


def _rows(texts: Texts, labels: Labels, config: RunConfig) -> Rows:
    strings = text_strings(texts, config.model.texts_per_record)
    rows = LabelRows.read(labels, config.model.head["type"], config.data.label_separator)
    check_pairs(len(strings), len(rows))
    return strings, rows


def _with_labels(config: RunConfig, rows: LabelRows) -> tuple[RunConfig, LabelSet]:
    """The labels, and the configuration with what the head has to know of them. Raises LabelError, ConfigError."""
    names = rows.label_set(config.data.label_order)
    rows.check_trainable()
    config = _with_tasks(config, rows)
    if config.model.head["type"] != "hierarchy":
        return config, names
    separator = config.model.head["separator"]
    levels = tree_levels(names.names, separator)
    if not levels:
        raise LabelError(f"no label is a path: none has the separator {separator!r} (model.head.separator) in it")
    return _with_head(config, levels=levels), names


def _with_columns(config: RunConfig, texts: Texts) -> RunConfig:
    """The configuration with the number of texts of each record, where the network compares several."""
    if config.text.segments != "columns" or not len(texts):
        return config
    found, wanted = texts_of(texts[0]), config.model.join["texts"]
    if found < 2:
        raise DataError(
            f"text.segments 'columns' compares texts of one record, but text 0 is one text: {texts[0]!r:.80}"
        )
    if wanted and wanted != found:
        raise ConfigError(f"model.join.texts is {wanted}, but a record of the data has {found} texts")
    join = {**config.model.join, "texts": found}
    return config.model_copy(update={"model": config.model.model_copy(update={"join": join})})


def _with_tasks(config: RunConfig, rows: LabelRows) -> RunConfig:
    """The configuration with the number of labels of each task in a multi_task head. Raises ConfigError."""
    if not rows.tasks:
        return config
    unknown = [
        f"model.head.task_weights: there is no task {name!r}{nearest(name, rows.tasks)}"
        for name in config.model.head["task_weights"] or {}
        if name not in rows.tasks
    ]
    if config.train.class_weights != "none":
        unknown.append("train.class_weights are for one set of labels; weigh tasks with model.head.task_weights")
    if unknown:
        raise ConfigError(unknown)
    return _with_head(config, tasks=rows.sizes())


def _with_thresholds(ready: Prepared, logits: Floats | None) -> RunConfig:
    """The configuration with the best thresholds of a multi_label head on the validation texts, where there are any."""
    if ready.config.model.head["type"] != "multi_label" or ready.held_out is None or logits is None:
        return ready.config
    found = probabilities(logits, ready.config.model.head, Calibration())
    return _with_head(ready.config, thresholds=best_thresholds(found, ready.held_out.targets))


def _with_head(config: RunConfig, **options: Any) -> RunConfig:
    model = config.model.model_copy(update={"head": {**config.model.head, **options}})
    return config.model_copy(update={"model": model})


def learn_text(
    texts: Sequence[str], config: RunConfig, progress: Progress
) -> tuple[Tokenizer, Floats | None, RunConfig]:
    """Vocabulary from the training texts and, where the embedding wants them, word vectors for it.

    The configuration comes back with the dimension that the vectors have.
    """
    embedding = config.model.embedding
    if embedding.mode == "rand":
        return Tokenizer.learn(texts, config.text, spelled=config.model.spelled), None, config
    from textcnn.text import vectors

    extra: Sequence[str] = ()
    if config.text.extra_words_from_vectors:
        extra = vectors.file_vocabulary(embedding.vectors, limit=config.text.extra_words_from_vectors)
    tokenizer = Tokenizer.learn(texts, config.text, extra_words=extra, spelled=config.model.spelled)
    loaded = vectors.load_vectors(embedding.vectors, tokenizer.tokens, seed=config.train.seed)
    counts = np.bincount(tokenizer.encode(texts).unspelled().values, minlength=len(tokenizer))
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


def _hold_out(given: Rows, validation: Rows | None, config: RunConfig) -> tuple[Rows, Rows | None]:
    if validation is not None or not config.data.validation_fraction:
        return given, validation
    texts, labels = given
    kept, held = stratified_split(texts, labels.keys, fraction=config.data.validation_fraction, seed=config.data.seed)

    def pick(rows: npt.NDArray[np.int64]) -> Rows:
        return [texts[row] for row in rows], labels.take(rows)

    return pick(kept), pick(held) if len(held) else None


def _metrics(ready: Prepared, logits: Floats | None, members: Sequence[Member], wanted: int) -> dict[str, Any]:
    """Of several members: what they are together; `members` has the figures of each, alone.

    `logits` are those of the validation texts.
    """
    held_out = ready.held_out
    validation = measure(ready.network, logits, held_out.targets) if held_out and logits is not None else None
    results = [member.result for member in members]
    each = [
        {"best_epoch": one.result.best_epoch, "seconds": round(one.result.seconds, 3), "validation": one.validation}
        for one in members
    ]
    return {
        "training_texts": len(ready.train.texts),
        "training_seconds": round(sum(result.seconds for result in results), 3),
        **({"best_epoch": results[0].best_epoch} if len(members) == 1 else {"members": each}),
        "interrupted": len(members) < wanted or any(result.interrupted for result in results),
        "validation": {"texts": len(held_out.texts), **validation} if held_out and validation else None,
        "history": list(results[0].history) if len(members) == 1 else histories(members),
    }


def _fingerprint(config: RunConfig, *parts: Rows | None) -> str:
    digest = hashlib.sha256(config.to_json().encode())
    for part in parts:
        for column in (part[0], part[1].keys) if part else ():
            for value in column:
                digest.update(value.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
