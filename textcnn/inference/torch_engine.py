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
from textcnn.inference.ngram_table import NgramTable, table_of
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

    def __init__(self, network: Network, artifact: Artifact, *, threads: int = 0) -> None:
        self.network = network.eval()
        self._threads = threads
        self._artifact = artifact
        self._vocabulary = len(artifact.tokenizer)

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        return None

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> TorchEngine:
        return cls(artifact_network(artifact).to(pick_device(options.device)), artifact, threads=options.threads)

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""
        self._use_threads()
        return network_logits(self.network, batch, Distinct(self._vocabulary))

    def winners(self, batch: TokenBatch) -> Winners | None:
        """From the network itself; see network_winners.py."""
        self._use_threads()
        return network_winners(self.network, batch, Distinct(self._vocabulary), self._table)

    def _use_threads(self) -> None:
        """As many as were asked for, in the thread that calls, for torch keeps the number by thread."""
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)

    @cached_property
    def _table(self) -> NgramTable | None:
        """What each word adds to each filter, where one convolution is all there is."""
        return table_of(self._artifact, EngineOptions())[0] if self.network.encoder.fused else None


def artifact_network(artifact: Artifact) -> Network:
    """The network of a trained model, with its weights. Raises ArtifactError if they do not fit its configuration."""
    artifact.check_answers()
    weights = {name: torch.from_numpy(value) for name, value in artifact.weights.items()}
    matrix = None
    if artifact.config.model.embedding.mode != "rand":
        given = weights.get("encoder.embedding.fixed", weights.get("encoder.embedding.weight"))
        matrix = given.numpy() if given is not None else None
    network = build_network(
        artifact.config, vocabulary=len(artifact.tokenizer), num_classes=len(artifact.labels.names), matrix=matrix,
        alphabet=artifact.tokenizer.alphabet,
    )  # fmt: skip
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights of model {artifact.name}/{artifact.version} do not fit its configuration: {error}"
        ) from None
    return network
