"""The reference engine: the network itself, in torch, on a CPU or a GPU."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from textcnn.artifact import Artifact
from textcnn.build import build_network, pick_device
from textcnn.errors import ArtifactError
from textcnn.inference.engine import EngineOptions
from textcnn.inference.network_winners import network_winners
from textcnn.inference.ngram_table import NgramTable
from textcnn.nn.blocks.kim_conv import KimConv
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.types import Floats, TokenBatch, Winners

TEXTS_AT_ONCE = 256


@torch.inference_mode()
def network_logits(network: Network, batch: TokenBatch, distinct: Distinct) -> Floats:
    """Logits float32[B, num_classes] of a network in eval mode; similar lengths together, so that little is padded."""
    device = next(network.parameters()).device
    order = np.argsort(batch.lengths, kind="stable")
    parts = [
        network(distinct(batch.take(order[start : start + TEXTS_AT_ONCE])).to(device)).float().cpu().numpy()
        for start in range(0, max(1, len(order)), TEXTS_AT_ONCE)
    ]
    logits: Floats = np.empty((len(batch), parts[0].shape[1]), np.float32)
    logits[order] = np.concatenate(parts)
    return logits


class TorchEngine:
    """Runs any network. Not thread-safe within one call's scratch space, so each call makes its own."""

    name = "torch"

    def __init__(self, network: Network, vocabulary: int) -> None:
        self._network = network.eval()
        self._vocabulary = vocabulary

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        return None

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> TorchEngine:
        return cls(artifact_network(artifact).to(pick_device(options.device)), len(artifact.tokenizer))

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""
        return network_logits(self._network, batch, Distinct(self._vocabulary))

    def winners(self, batch: TokenBatch) -> Winners | None:
        """From the network itself; see network_winners.py."""
        return network_winners(self._network, batch, Distinct(self._vocabulary), self._table)

    @cached_property
    def _table(self) -> NgramTable | None:
        """What each word adds to each filter, where one convolution is all there is."""
        encoder = self._network.encoder
        if not encoder.fused:
            return None
        (conv,) = encoder.blocks
        assert isinstance(conv, KimConv)
        with torch.inference_mode():
            vectors = encoder.embedding(torch.arange(self._vocabulary, device=conv.weight.device))
        return NgramTable(vectors.cpu().numpy(), conv.weight.detach().cpu().numpy(), conv.windows)


def artifact_network(artifact: Artifact) -> Network:
    """The network of a trained model, with its weights. Raises ArtifactError if they do not fit its configuration."""
    artifact.check_answers()
    weights = {name: torch.from_numpy(value) for name, value in artifact.weights.items()}
    matrix = None
    if artifact.config.model.embedding.mode != "rand":
        given = weights.get("encoder.embedding.fixed", weights.get("encoder.embedding.weight"))
        matrix = given.numpy() if given is not None else None
    network = build_network(
        artifact.config, vocabulary=len(artifact.tokenizer), num_classes=len(artifact.labels.names), matrix=matrix
    )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights of model {artifact.name}/{artifact.version} do not fit its configuration: {error}"
        ) from None
    return network
