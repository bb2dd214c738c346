"""Starting from another trained model: its words and its blocks; labels and vocabulary may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from textcnn.artifact import Artifact, read_artifact
from textcnn.config import RunConfig, TextConfig, merge
from textcnn.errors import ConfigError
from textcnn.nn.model import Network
from textcnn.presets import preset_names, preset_settings
from textcnn.registry import BLOCKS
from textcnn.text.tokenizers import Tokenizer

EMBEDDING = "encoder.embedding."


def settings_of(source: Artifact) -> dict[str, Any]:
    """What a model that starts from `source` takes over: how texts are read, and the encoder."""
    config = source.config.model_dump(mode="json")
    model = config["model"]
    return {
        "text": config["text"],
        "model": {
            # with the defaults of options that an older model does not name
            "blocks": [BLOCKS.resolve(spec) for spec in model["blocks"]],
            "pooling": model["pooling"],
            # its vectors, wherever they came from, are trained on from here
            "embedding": {**model["embedding"], "mode": "rand", "vectors": "", "dim": _words(source).shape[1]},
        },
    }


def with_source(values: Mapping[str, Any], preset: str) -> Mapping[str, Any]:
    """Preset and settings over those of the model that train.start_from names, if any. Raises ArtifactError."""
    train = values.get("train") if isinstance(values, Mapping) else None
    path = train.get("start_from") if isinstance(train, Mapping) else None
    if not path or not isinstance(path, str):
        return values
    named = preset_settings(preset) if preset in preset_names() else {}  # an unknown one is told where all faults are
    return merge(merge(settings_of(read_artifact(path)), named), values)


def learn_tokens(texts: Sequence[str], config: TextConfig, source: Artifact) -> Tokenizer:
    """Words of the texts and of `source`; pieces and characters as `source` has them."""
    if config.tokenizer == "word":
        return Tokenizer.learn(texts, config, extra_words=source.tokenizer.tokens[2:])
    return Tokenizer.from_json(source.tokenizer.to_json(), config)


def check_fits(config: RunConfig, source: Artifact) -> None:
    """Raises ConfigError, with both values, where the networks differ in what is taken over."""
    wanted, has = config.model_dump(mode="json"), settings_of(source)
    faults = [
        f"{section}.{key} is {wanted[section][key]!r}, but the model to start from has {has[section][key]!r}"
        for section, key in (("model", "blocks"), ("text", "tokenizer"), ("text", "lowercase"))
        if wanted[section][key] != has[section][key]
    ]
    embedding = config.model.embedding
    if embedding.mode != "rand":
        faults.append("word vectors come from the model to start from; leave out model.embedding.vectors and mode")
    elif embedding.dim != (dim := has["model"]["embedding"]["dim"]):
        faults.append(f"model.embedding.dim is {embedding.dim}, but the model to start from has {dim}")
    if faults:
        raise ConfigError(faults)


@torch.no_grad()
def start_from(network: Network, tokenizer: Tokenizer, source: Artifact) -> int:
    """Copy the vectors of the words that both know, and all other weights of the encoder. Returns how many words."""
    words = _words(source)
    known = {token: row for row, token in enumerate(source.tokenizer.tokens)}
    pairs = [(row, known[token]) for row, token in enumerate(tokenizer.tokens) if row and token in known]
    weight = network.encoder.embedding.weight
    assert weight is not None
    mine, theirs = np.array(pairs, np.int64).reshape(-1, 2).T
    weight[torch.from_numpy(mine).to(weight.device)] = torch.from_numpy(words[theirs]).to(weight.device)
    others = {
        name.removeprefix("encoder."): torch.from_numpy(np.array(value))
        for name, value in source.weights.items()
        if name.startswith("encoder.") and not name.startswith(EMBEDDING)
    }
    own = network.encoder.state_dict()
    # a pooling of another kind has other weights, or none
    network.encoder.load_state_dict(
        {**own, **{name: value for name, value in others.items() if name in own and own[name].shape == value.shape}}
    )
    return len(pairs)


def _words(source: Artifact) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32[V, dim], the channels added."""
    weights: Mapping[str, Any] = source.weights
    parts = [weights[EMBEDDING + name] for name in ("fixed", "weight") if EMBEDDING + name in weights]
    return np.sum(parts, axis=0, dtype=np.float32)  # type: ignore[no-any-return]
