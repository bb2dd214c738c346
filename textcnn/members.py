"""Networks that are trained apart and answer together: which can, and the one network that they are then.

The mean of the logits of several networks (embedding, one convolution, max over time, linear layer) is such a network
itself: their vectors side by side, filters in groups that see those of their own network alone, and the linear layers
side by side over the number of networks. Behind a softmax that is the geometric mean of their probabilities,
normalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textcnn.config import ModelConfig, RunConfig, TrainConfig
from textcnn.errors import ConfigError
from textcnn.types import Floats

Weights = Mapping[str, np.ndarray[Any, Any]]
FIXED, TRAINED = "encoder.embedding.fixed", "encoder.embedding.weight"
CONVOLUTION = ("encoder.blocks.0.weight", "encoder.blocks.0.bias")
HEAD = ("head.linear.weight", "head.linear.bias")


def why_not_merged(model: ModelConfig) -> list[str]:
    """Why networks of this kind cannot answer as one, with what to change; empty where they can."""
    kinds = [str(spec.get("type")) for spec in model.blocks]
    head, pooling = model.head, model.pooling.get("type")
    faults = []
    if kinds != ["kim_conv"]:
        faults.append(f"one kim_conv block, and model.blocks has {', '.join(kinds) or 'none'}")
    if pooling != "max_over_time":
        faults.append(f"model.pooling max_over_time, not {pooling}")
    if head.get("hidden_dim"):
        faults.append(f"a head without hidden layer: set model.head.hidden_dim to 0, not {head['hidden_dim']}")
    if model.join:
        faults.append("texts that are read as a whole: set text.segments to 'none'")
    if model.auxiliary.blocks:
        faults.append("no heads in the middle: leave out model.auxiliary.blocks")
    if model.embedding.spelled:
        faults.append("words without characters beside them: set model.embedding.characters.num_filters to 0")
    return [f"train.members: several networks answer as one only with {fault}" for fault in faults]


def merged_model(config: RunConfig) -> ModelConfig:
    """The network that answers: `config.model` itself, or train.members of it as one.

    Word vectors that training leaves alone are the same for all and stand there once; where a copy is trained beside
    them, the two are added up, as the network would. Raises ConfigError.
    """
    members, model = config.train.members, config.model
    if members == 1:
        return model
    if faults := why_not_merged(model):
        raise ConfigError(faults)
    (block,), embedding = model.blocks, model.embedding
    if _shares_vectors(model):
        widths, filters = list(block["filter_widths"]), block["num_filters"]
        filters = [filters] * len(widths) if isinstance(filters, int) else list(filters)
        block = {**block, "filter_widths": widths * members, "num_filters": filters * members}
        return model.model_copy(update={"blocks": (block,)})
    mode = "non-static" if embedding.mode == "multichannel" else embedding.mode
    embedding = embedding.model_copy(update={"mode": mode, "dim": embedding.dim * members})
    block = {**block, "groups": block.get("groups", 1) * members}
    return model.model_copy(update={"embedding": embedding, "blocks": (block,)})


def merge_weights(members: Sequence[Weights], model: ModelConfig) -> dict[str, Floats]:
    """The weights of `merged_model` from those of several networks of the kind `model`."""
    shared = [members[0][FIXED]] if _shares_vectors(model) else None
    vectors = shared or [sum(channels[1:], channels[0]) for channels in map(_channels, members)]
    convolution = {name: np.concatenate([weights[name] for weights in members]) for name in CONVOLUTION}
    weight, bias = ([weights[name] for weights in members] for name in HEAD)
    return {
        FIXED if model.embedding.mode == "static" else TRAINED: np.concatenate(vectors, axis=1),
        **convolution,
        HEAD[0]: (np.concatenate(weight, axis=1) / len(members)).astype(np.float32),
        HEAD[1]: np.asarray(np.mean(bias, axis=0), np.float32),
    }


def member_seeds(train: TrainConfig) -> list[int]:
    """The seed of each: the first has that of the run, so that it is the network which a run of one would give."""
    others = np.random.SeedSequence(train.seed).generate_state(train.members - 1, np.uint64) >> np.uint64(1)
    return [train.seed, *others.tolist()]


def _shares_vectors(model: ModelConfig) -> bool:
    """Whether all members look at the same vectors; filters in groups could not say which member's they are."""
    return model.embedding.mode == "static" and model.blocks[0].get("groups", 1) == 1


def _channels(weights: Weights) -> list[np.ndarray[Any, Any]]:
    return [weights[name] for name in (FIXED, TRAINED) if name in weights]
