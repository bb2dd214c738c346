"""From a configuration to objects: the only place that meets both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from textcnn.answers import is_single
from textcnn.config import CharactersConfig, ModelConfig, RunConfig, apply_override, merge
from textcnn.errors import ConfigError
from textcnn.kernels.ngram_linear import LONGEST
from textcnn.members import merged_model, why_not_merged
from textcnn.nn.blocks.kim_conv import KimConv
from textcnn.nn.embedding import Embedding
from textcnn.nn.encoder import Encoder
from textcnn.nn.model import Auxiliary, Network
from textcnn.nn.parts import Block
from textcnn.nn.pooling.max_over_time import MaxOverTime
from textcnn.presets import DEFAULT_PRESET, preset_names, preset_settings
from textcnn.registry import AUGMENTATIONS, BLOCKS, HEADS, JOINS, LOSSES, POOLINGS, TOKENIZERS, Registry, nearest
from textcnn.types import Floats

USUAL_JOINS = {"columns": "compare", "sentences": "document"}  # by text.segments
# Adam's was chosen on TREC, CR and the example data: twice the usual one, half the epochs, the same accuracy.
CHARACTERS = 5  # of the longest character n-grams, where nobody says
LEARNING_RATES = {"adam": 0.002, "adamw": 0.002, "adadelta": 1.0, "sgd": 0.1}


def resolve(values: Mapping[str, Any], *, preset: str = DEFAULT_PRESET, overrides: Sequence[str] = ()) -> RunConfig:
    """The defaults, a preset, `values` and `overrides`, each over the one before, as a checked configuration.

    Raises ConfigError with all faults at once.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"config is {values!r} ({type(values).__name__}), expected settings by section")
    faults: list[str] = []
    known = preset_names()
    if preset not in known:
        faults.append(f"unknown preset {preset!r}{nearest(str(preset), known)} (known: {', '.join(known)})")
    named = preset_settings(preset) if preset in known else {}
    values = merge(merge(RunConfig().model_dump(mode="json"), named), values)
    for override in overrides:
        try:
            values = apply_override(values, override)
        except ConfigError as error:
            faults.extend(error.faults)
    # the parts of the network and some names are looked at even where other settings are wrong
    faults.extend(_part_faults(values["model"]))
    faults.extend(_train_part_faults(values["train"]))
    faults.extend(_name_faults(values))
    try:
        config = _settled(RunConfig.from_mapping(values))
        faults.extend(_combination_faults(config))
    except ConfigError as error:
        faults.extend(error.faults)
    if faults:
        raise ConfigError(faults)
    faults.extend(_network_faults(config))
    if faults:
        raise ConfigError(faults)
    parts = {
        "blocks": tuple(BLOCKS.resolve(spec) for spec in config.model.blocks),
        "pooling": POOLINGS.resolve(config.model.pooling),
        "head": HEADS.resolve(config.model.head),
        "join": JOINS.resolve(config.model.join) if config.model.join else {},
    }
    train = {
        "loss": LOSSES.resolve(config.train.loss) if config.train.loss else {},
        "augmentations": tuple(AUGMENTATIONS.resolve(spec) for spec in config.train.augmentations),
    }
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=parts),
            "train": config.train.model_copy(update=train),
        }
    )


def _settled(config: RunConfig) -> RunConfig:
    """The settings whose default depends on others, written out."""
    embedding, train, join = config.model.embedding, config.train, config.model.join
    if config.text.segments != "none":
        join = {"type": USUAL_JOINS[config.text.segments], **join}
    if embedding.mode == "auto":
        embedding = embedding.model_copy(update={"mode": "static" if embedding.vectors else "rand"})
    train = train.model_copy(update={"learning_rate": train.learning_rate or LEARNING_RATES[train.optimizer]})
    wide = config.model.wide
    if wide.ngrams == "auto":
        wide = wide.model_copy(update={"ngrams": LONGEST if config.text.segments == "none" else 0})
    if wide.characters == "auto":
        fits = bool(wide.ngrams) and config.text.tokenizer == "word"
        wide = wide.model_copy(update={"characters": CHARACTERS if fits else 0})
    model = config.model.model_copy(update={"embedding": embedding, "join": join, "wide": wide})
    return config.model_copy(update={"model": model, "train": train})


def _part_faults(model: Any) -> list[str]:
    """The faults of blocks, pooling and head; what is no table at all is RunConfig's to tell."""
    if not isinstance(model, Mapping):
        return []
    blocks = model.get("blocks")
    parts: list[tuple[Registry, Any, str]] = [
        (BLOCKS, block, f"model.blocks.{index}")
        for index, block in enumerate(blocks if isinstance(blocks, (list, tuple)) else ())
    ]
    parts += [(POOLINGS, model.get("pooling"), "model.pooling"), (HEADS, model.get("head"), "model.head")]
    join = model.get("join")
    parts += [(JOINS, join, "model.join")] if join and isinstance(join, Mapping) and "type" in join else []
    return [
        fault for registry, spec, where in parts if isinstance(spec, Mapping) for fault in registry.check(spec, where)
    ]


def _train_part_faults(train: Any) -> list[str]:
    """The faults of loss and augmentations."""
    if not isinstance(train, Mapping):
        return []
    loss, augmentations = train.get("loss"), train.get("augmentations")
    faults = LOSSES.check(loss, "train.loss") if isinstance(loss, Mapping) and loss else []
    for index, spec in enumerate(augmentations if isinstance(augmentations, (list, tuple)) else ()):
        if isinstance(spec, Mapping):
            faults += AUGMENTATIONS.check(spec, f"train.augmentations.{index}")
    return faults


def _name_faults(values: Mapping[str, Any]) -> list[str]:
    faults: list[str] = []
    for check, section, key in ((TOKENIZERS.get, "text", "tokenizer"), (pick_device, "train", "device")):
        name = values[section].get(key) if isinstance(values[section], Mapping) else None
        try:
            if isinstance(name, str):
                check(name)
        except ConfigError as error:
            faults.extend(f"{section}.{key}: {fault}" for fault in error.faults)
    return faults


def _combination_faults(config: RunConfig) -> list[str]:
    faults = []
    embedding, train = config.model.embedding, config.train
    beyond = [index for index in config.model.auxiliary.blocks if index >= len(config.model.blocks)]
    if beyond:
        faults.append(
            f"model.auxiliary.blocks has {beyond[0]}, but the model's blocks are 0 to {len(config.model.blocks) - 1}"
        )
    faults += _segment_faults(config)
    if embedding.mode != "rand" and not embedding.vectors:
        faults.append(
            f"model.embedding.mode is {embedding.mode!r}, which needs word vectors: "
            "set model.embedding.vectors (--vectors FILE)"
        )
    if embedding.mode == "rand" and embedding.vectors:
        faults.append(
            "model.embedding.vectors is given but model.embedding.mode is 'rand', which ignores it: "
            "choose static, non-static or multichannel"
        )
    if embedding.spelled and config.text.tokenizer != "word":
        faults.append(
            "model.embedding.characters reads the characters of words, but text.tokenizer is "
            f"{config.text.tokenizer!r}: set it to 'word', or model.embedding.characters.num_filters to 0"
        )
    if any(spec.get("type") == "synonym" for spec in train.augmentations) and not embedding.vectors:
        faults.append("augmentation synonym needs word vectors: set model.embedding.vectors (--vectors FILE)")
    if train.members > 1:
        faults += why_not_merged(config.model)
    if config.model.wide.characters and config.text.tokenizer != "word":
        faults.append(
            "model.wide.characters reads the characters of words, but text.tokenizer is "
            f"{config.text.tokenizer!r}: set it to 'word', or model.wide.characters to 0"
        )
    if config.model.wide.characters and not config.model.wide.ngrams:
        faults.append(
            "model.wide.characters is about the words of n-grams: set model.wide.ngrams to 1, 2 or 3, or it to 0"
        )
    if config.model.wide.characters == 1:
        faults.append(
            "model.wide.characters is the longest length, and the shortest is 2: set it to 2 or more, or to 0"
        )
    if config.model.wide.ngrams and config.text.segments != "none":
        faults.append("model.wide reads texts as a whole: set text.segments to 'none', or model.wide.ngrams to 0")
    if train.mixup and config.model.auxiliary.blocks:
        faults.append("train.mixup mixes what the main head sees; it does not go with model.auxiliary")
    if train.precision == "float16" and not train.device.startswith("cuda") and not torch.cuda.is_available():
        faults.append("train.precision is 'float16', which needs a CUDA device; on a CPU use 'bfloat16' or 'float32'")
    return faults


def _segment_faults(config: RunConfig) -> list[str]:
    """What does not go with texts that are encoded segment by segment, or with others."""
    segments, join = config.text.segments, config.model.join
    faults = JOINS.check(join, "model.join") if join else []
    if faults:
        return faults
    wanted = JOINS.get(join["type"]).segments if join else "none"
    if wanted != segments:
        return [
            f"model.join is {join['type']!r}, which joins {wanted}: set text.segments to {wanted!r}, not {segments!r}"
        ]
    if segments == "none":
        return []
    if config.model.auxiliary.blocks:
        faults.append(f"model.auxiliary answers for whole texts; it does not go with text.segments {segments!r}")
    columns = config.data.text_columns
    if segments == "columns" and len(columns) == 1:
        faults.append(
            f"text.segments 'columns' needs two text columns or more, but data.text_columns has {columns[0]!r} alone: "
            "--text-column NAME, once for each"
        )
    return faults


def _network_faults(config: RunConfig) -> list[str]:
    """What only building finds, from a network without memory: parts that do not fit together, with their sizes."""
    head, loss = config.model.head["type"], config.train.loss.get("type")
    losses = HEADS.get(head).losses
    if config.train.r_drop and not is_single(config.model.head):
        return [f"train.r_drop compares answers of one softmax, which a {head} head does not give; set it to 0"]
    if loss and loss not in losses:
        return [f"train.loss {loss!r} cannot train a {head} head (those that can: {', '.join(losses)})"]
    dim, length = config.model.embedding.word_dim, config.text.max_length
    where = "model.pooling"
    try:
        with torch.device("meta"):
            for index, spec in enumerate(config.model.blocks):
                where = f"model.blocks.{index} ({spec['type']})"
                block = BLOCKS.build(spec, in_dim=dim)
                dim, length = block.out_dim, block.size(length)
            where = f"model.pooling ({config.model.pooling['type']})"
            pooling = POOLINGS.build(config.model.pooling, in_dim=dim)
            needed = pooling.positions_needed
            if config.model.join:
                where = f"model.join ({config.model.join['type']}), of vectors of {pooling.out_dim:,} numbers"
                JOINS.build(config.model.join, in_dim=pooling.out_dim)
                where = f"model.pooling ({config.model.pooling['type']})"
    except ConfigError as error:
        return [f"{where}: {fault}" for fault in error.faults]
    if needed > length:
        return [
            f"{where} wants {needed} positions, but the blocks make {length} of the longest text "
            f"({config.text.max_length} tokens, text.max_length)"
        ]
    return []


def build_encoder(model: ModelConfig, *, vocabulary: int, matrix: Floats | None = None, alphabet: int = 0) -> Encoder:
    """Construct embedding, blocks and pooling of the model section of a resolved configuration.

    `alphabet` is the number of characters, where it reads them.
    """
    options = model.embedding
    assert options.mode != "auto", "the configuration is not resolved"
    embedding = Embedding(
        vocabulary,
        mode=options.mode,
        dim=options.dim,
        matrix=None if matrix is None else torch.from_numpy(np.ascontiguousarray(matrix, np.float32)),
        scale=options.scale,
        dropout=options.dropout,
    )
    blocks: list[Block] = []
    dim = options.word_dim
    for spec in model.blocks:
        blocks.append(BLOCKS.build(spec, in_dim=dim))
        dim = blocks[-1].out_dim
    pooling = POOLINGS.build(model.pooling, in_dim=dim)
    characters = _characters(options.characters, alphabet) if options.spelled else None
    return Encoder(embedding, blocks, pooling, characters=characters, hidden_words=options.characters.hidden_words)


def _characters(options: CharactersConfig, alphabet: int) -> Encoder:
    """A word is a text of characters: the same parts again."""
    assert alphabet, "the tokenizer was not told to spell"
    conv = KimConv(options.dim, filter_widths=options.filter_widths, num_filters=options.num_filters)
    return Encoder(Embedding(alphabet, dim=options.dim), [conv], MaxOverTime(conv.out_dim))


def build_network(
    config: RunConfig, *, vocabulary: int, num_classes: int, matrix: Floats | None = None, alphabet: int = 0,
    training: bool = False,
) -> Network:  # fmt: skip
    """Construct the network of a resolved configuration; weights are drawn from torch's global generator.

    With `training` it has the auxiliary heads as well, and of several members it is one; else all of them together.
    `alphabet` as in `build_encoder`.
    """
    model = config.model if training else merged_model(config)
    encoder = build_encoder(model, vocabulary=vocabulary, matrix=matrix, alphabet=alphabet)
    join = JOINS.build(model.join, in_dim=encoder.out_dim) if model.join else None
    features = join.out_dim if join else encoder.out_dim
    head = HEADS.build(model.head, in_dim=features, num_classes=num_classes)
    auxiliary = []
    for index in model.auxiliary.blocks if training else ():
        own = POOLINGS.build(model.pooling, in_dim=encoder.blocks[index].out_dim)
        classes = HEADS.build(model.head, in_dim=own.out_dim, num_classes=num_classes)
        auxiliary.append(Auxiliary(index, own, classes))
    return Network(encoder, head, auxiliary, join)


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a torch device. Raises ConfigError for one that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"{name!r} is no device; write auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        found = (
            f"{torch.cuda.device_count()} found" if torch.cuda.is_available() else "none found by this build of torch"
        )
        raise ConfigError(f"device {name!r} is not available: {found}; use cpu or auto")
    return device
