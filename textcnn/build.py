"""From a configuration to objects: the only place that meets both, and where the named presets are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from textcnn.config import RunConfig, merge
from textcnn.errors import ConfigError
from textcnn.nn.embedding import Embedding
from textcnn.nn.encoder import Encoder
from textcnn.nn.model import Network
from textcnn.registry import BLOCKS, HEADS, POOLINGS, TOKENIZERS, Registry, nearest
from textcnn.types import Floats

# Presets only fill in numbers. The default configuration is kim_rand.
PRESETS: dict[str, dict[str, Any]] = {
    "kim_rand": {},
    "kim_static": {"model": {"embedding": {"mode": "static"}}},
    "kim_non_static": {"model": {"embedding": {"mode": "non-static"}}},
    "kim_multichannel": {"model": {"embedding": {"mode": "multichannel"}}},
}


def resolve(values: Mapping[str, Any], *, preset: str = "kim_rand") -> RunConfig:
    """A preset, the user's values over it, every default filled in. Raises ConfigError with all faults at once."""
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}{nearest(preset, PRESETS)} (known: {', '.join(PRESETS)})")
    faults: list[str] = []
    try:
        config = RunConfig.from_mapping(merge(PRESETS[preset], values))
    except ConfigError as error:
        faults.extend(error.faults)
        # the parts of the network can still be looked at, so that all faults come at once
        model = values.get("model", {})
        faults.extend(_part_faults(model) if isinstance(model, Mapping) else [])
        raise ConfigError(faults) from None
    faults.extend(_part_faults(config.model.model_dump()))
    faults.extend(_combination_faults(config))
    if faults:
        raise ConfigError(faults)
    parts = {
        "blocks": tuple(BLOCKS.resolve(spec) for spec in config.model.blocks),
        "pooling": POOLINGS.resolve(config.model.pooling),
        "head": HEADS.resolve(config.model.head),
    }
    return config.model_copy(update={"model": config.model.model_copy(update=parts)})


def _part_faults(model: Mapping[str, Any]) -> list[str]:
    faults: list[str] = []

    def look(registry: Registry, spec: Any, where: str) -> None:
        faults.extend(registry.check(spec, where) if isinstance(spec, Mapping) else [f"{where}: is not a table"])

    for index, block in enumerate(model.get("blocks", ())):
        look(BLOCKS, block, f"model.blocks.{index}")
    for registry, key in ((POOLINGS, "pooling"), (HEADS, "head")):
        if key in model:
            look(registry, model[key], f"model.{key}")
    return faults


def _combination_faults(config: RunConfig) -> list[str]:
    faults = []
    embedding, train = config.model.embedding, config.train
    if embedding.mode != "rand" and not embedding.vectors:
        faults.append(
            f"model.embedding.mode is {embedding.mode!r}, which needs word vectors: set model.embedding.vectors (--vectors FILE)"
        )
    if embedding.mode == "rand" and embedding.vectors:
        faults.append(
            "model.embedding.vectors is given but model.embedding.mode is 'rand', which ignores it: choose static, non-static or multichannel"
        )
    if config.text.tokenizer not in TOKENIZERS.names():
        names = TOKENIZERS.names()
        faults.append(
            f"text.tokenizer: unknown tokenizer {config.text.tokenizer!r}{nearest(config.text.tokenizer, names)} (known: {', '.join(names)})"
        )
    if train.precision == "float16" and not train.device.startswith("cuda") and not torch.cuda.is_available():
        faults.append("train.precision is 'float16', which needs a CUDA device; on a CPU use 'bfloat16' or 'float32'")
    try:
        pick_device(train.device)
    except ConfigError as error:
        faults.extend(error.faults)
    return faults


def build_network(config: RunConfig, *, vocabulary: int, num_classes: int, matrix: Floats | None = None) -> Network:
    """Construct the network of a resolved configuration; weights are drawn from torch's global generator."""
    options = config.model.embedding
    embedding = Embedding(
        vocabulary,
        mode=options.mode,
        dim=options.dim,
        matrix=None if matrix is None else torch.from_numpy(np.ascontiguousarray(matrix, np.float32)),
        scale=options.scale,
    )
    blocks, dim = [], embedding.out_dim
    for spec in config.model.blocks:
        blocks.append(BLOCKS.build(spec, in_dim=dim))
        dim = blocks[-1].out_dim
    pooling = POOLINGS.build(config.model.pooling, in_dim=dim)
    head = HEADS.build(config.model.head, in_dim=pooling.out_dim, num_classes=num_classes)
    return Network(Encoder(embedding, blocks, pooling), head)


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a torch device. Raises ConfigError for one that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"train.device: {name!r} is no device; write auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        found = (
            f"{torch.cuda.device_count()} found" if torch.cuda.is_available() else "none found by this build of torch"
        )
        raise ConfigError(f"device {name!r} is not available: {found}; use cpu or auto")
    return device
