"""Starting from another trained model: its words and its blocks; labels and vocabulary may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from textcnn.artifact import Artifact, read_artifact
from textcnn.config import RunConfig, merge
from textcnn.errors import ConfigError
from textcnn.members import merged_model
from textcnn.nn.embedding import Embedding
from textcnn.nn.model import Network
from textcnn.presets import preset_names, preset_settings
from textcnn.registry import BLOCKS
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Floats

EMBEDDING, CHARACTERS = "encoder.embedding.", "encoder.characters.embedding.weight"


def settings_of(source: Artifact) -> dict[str, Any]:
    """What a model that starts from `source` takes over: how texts are read, and the encoder.

    Several members go on as the one network that they are.
    """
    model = merged_model(source.config).model_dump(mode="json")
    return {
        "text": source.config.text.model_dump(mode="json"),
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


def learn_tokens(texts: Sequence[str], config: RunConfig, source: Artifact) -> Tokenizer:
    """Words of the texts and of `source`; pieces and characters as `source` has them."""
    if config.text.tokenizer == "word":
        spelled = config.model.spelled
        return Tokenizer.learn(texts, config.text, extra_words=source.tokenizer.tokens[2:], spelled=spelled)
    return Tokenizer.from_json(source.tokenizer.to_json(), config.text)


def check_fits(config: RunConfig, source: Artifact) -> None:
    """Raises ConfigError, with both values, where the networks differ in what is taken over."""
    wanted, has = config.model_dump(mode="json"), settings_of(source)
    faults = [
        f"{section}.{key} is {wanted[section][key]!r}, but the model to start from has {has[section][key]!r}"
        for section, key in (("model", "blocks"), ("text", "tokenizer"), ("text", "lowercase"))
        if wanted[section][key] != has[section][key]
    ]
    embedding = config.model.embedding
    written, theirs = (which.model.embedding.characters for which in (config, source.config))
    faults += [
        f"model.embedding.characters.{key} is {getattr(written, key)}, but the model to start from has "
        f"{getattr(theirs, key)}"
        for key in ("num_filters", "filter_widths", "dim")
        if getattr(written, key) != getattr(theirs, key)
    ]
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
    shared = _copy_rows(network.encoder.embedding, tokenizer.tokens, words, source.tokenizer.tokens)
    if network.encoder.characters and tokenizer.speller and source.tokenizer.speller:
        _copy_rows(
            network.encoder.characters.embedding, tokenizer.speller.characters,
            source.weights[CHARACTERS], source.tokenizer.speller.characters,
        )  # fmt: skip
    others = {
        name.removeprefix("encoder."): torch.from_numpy(np.array(value))
        for name, value in source.weights.items()
        if name.startswith("encoder.") and not name.startswith((EMBEDDING, CHARACTERS))
    }
    own = network.encoder.state_dict()
    # a pooling of another kind has other weights, or none
    network.encoder.load_state_dict(
        {**own, **{name: value for name, value in others.items() if name in own and own[name].shape == value.shape}}
    )
    return shared


def _copy_rows(embedding: Embedding, tokens: Sequence[str], rows: Floats, row_tokens: Sequence[str]) -> int:
    """Copy the rows (float32[V, dim]) of the tokens that both have; but for padding. Returns how many."""
    known = {token: row for row, token in enumerate(row_tokens)}
    pairs = [(row, known[token]) for row, token in enumerate(tokens) if row and token in known]
    weight = embedding.weight
    assert weight is not None
    mine, theirs = np.array(pairs, np.int64).reshape(-1, 2).T
    weight[torch.from_numpy(mine).to(weight.device)] = torch.from_numpy(rows[theirs]).to(weight.device)
    return len(pairs)


def _words(source: Artifact) -> Floats:
    """float32[V, dim], the channels added."""
    weights: Mapping[str, Any] = source.weights
    parts = [weights[EMBEDDING + name] for name in ("fixed", "weight") if EMBEDDING + name in weights]
    total: Floats = np.sum(parts, axis=0, dtype=np.float32)
    return total
