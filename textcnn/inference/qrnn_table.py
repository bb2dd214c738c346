"""A QRNN without torch: the gates of its first layer are sums of table rows, so only the element-wise scan is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textcnn.artifact import Artifact
from textcnn.inference.engine import EngineOptions, weights_of
from textcnn.inference.ngram_table import NgramTable, linear_head, why_not_linear, word_vectors
from textcnn.kernels.native import native
from textcnn.kernels.table_gather import PARTS, affine, gate_states
from textcnn.kernels.windows import Windows
from textcnn.types import Floats, TokenBatch


class QRNNTableEngine:
    """Embedding -> one QRNN layer -> max over time -> linear layer; a table for each direction."""

    name = "qrnn_table"

    def __init__(
        self, tables: Sequence[NgramTable], biases: Sequence[Floats], parts: int, head_weight: Floats, head_bias: Floats
    ) -> None:
        self._tables = tuple(tables)
        self._biases = tuple(np.ascontiguousarray(bias, np.float32) for bias in biases)
        self._parts = parts
        self._head_weight = np.ascontiguousarray(head_weight, np.float32)
        self._head_bias = np.ascontiguousarray(head_bias, np.float32)

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        model = artifact.config.model
        kinds = [spec["type"] for spec in model.blocks]
        if options.device not in ("auto", "cpu"):
            return f"it runs on a CPU, and device {options.device} was asked for"
        if model.join:
            return f"it reads texts as a whole, and the model joins {artifact.config.text.segments}"
        if kinds != ["qrnn"] or model.blocks[0]["num_layers"] != 1:
            return f"it needs exactly one qrnn block of one layer, the model has {', '.join(kinds) or 'none'}"
        if model.pooling["type"] != "max_over_time":
            return f"it needs pooling max_over_time, the model has {model.pooling['type']}"
        if reason := why_not_linear(model.head):
            return reason
        if options.table_precision != "float32":
            return f"its tables are float32, and {options.table_precision} was asked for"
        if native() is None:
            return "it needs the compiled kernels, which are missing"
        return None

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> QRNNTableEngine:
        spec = artifact.config.model.blocks[0]
        directions = 2 if spec["bidirectional"] else 1
        parts = PARTS[spec["recurrent_pooling"]]
        windows = Windows((spec["window"],), (parts * spec["hidden_dim"],))
        embedding, spell = word_vectors(artifact)
        tables, biases = [], []
        for direction in range(directions):
            layer = f"encoder.blocks.0.layers.0.{direction}"
            shapes = {
                f"{layer}.weight": (windows.rows, embedding.shape[1]), f"{layer}.bias": (parts * spec["hidden_dim"],)
            }  # fmt: skip
            weight, bias = weights_of(artifact, shapes)
            tables.append(
                NgramTable(
                    embedding,
                    weight,
                    windows,
                    spell=spell,
                    budget=options.table_budget // directions,
                    threads=options.threads,
                )  # fmt: skip
            )
            biases.append(bias)
        return cls(tables, biases, parts, *linear_head(artifact, directions * spec["hidden_dim"]))

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]; the same bits for a text alone and in any batch."""
        pooled = [
            max_of_each(
                gate_states(
                    table.sums(batch, reverse=reverse), bias, batch.offsets, parts=self._parts, reverse=reverse
                ),
                batch,
            )
            for reverse, table, bias in zip((False, True), self._tables, self._biases, strict=False)
        ]
        return affine(np.concatenate(pooled, axis=1), self._head_weight, self._head_bias)

    def winners(self, batch: TokenBatch) -> None:
        """A state remembers everything before it."""
        return None


def max_of_each(states: Floats, batch: TokenBatch) -> Floats:
    """The largest of each column in every text: float32[N, dim] -> float32[B, dim]; an empty text gives zeros."""
    pooled = np.zeros((len(batch), states.shape[1]), np.float32)
    filled = np.flatnonzero(batch.lengths)
    if len(filled):
        # the texts between two that are not empty are empty, so these starts bound the right rows
        pooled[filled] = np.maximum.reduceat(states, batch.offsets[filled], axis=0)
    return pooled
