"""The fast engine: embedding and convolution folded into one table, so that inference is a look-up. Needs no torch.

A word's row of the table holds its contribution to every filter at every offset of a window (kernels/table_gather.py).
Rows of the most frequent words stay in the table once computed, each when its word is first met, as many as the budget
holds; the products of rarer words are computed when they are needed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from textcnn.artifact import Artifact
from textcnn.choices import TablePrecision
from textcnn.inference.engine import EngineOptions, weights_of, why_not_numpy
from textcnn.kernels.merge_windows import merge_windows
from textcnn.kernels.native import cores, native
from textcnn.kernels.ngram_linear import NgramLinear
from textcnn.kernels.table_gather import affine, gather_max, gather_sum, pack, project
from textcnn.kernels.table_logits import FUSED, TableLogits
from textcnn.kernels.windows import Windows
from textcnn.kernels.word_parts import add_word_parts
from textcnn.members import merged_model
from textcnn.types import UNKNOWN_ID, Evidence, Floats, Ids, Offsets, Parts, TokenBatch, Winners

log = logging.getLogger(__name__)
TEXTS_OVER_BUDGET = 64  # texts at once where some words are not in the table
ROWS_AT_ONCE = 4096
SAMPLED_WORDS = 1000
TINY = 1e-6


# Those that may be taken after max over time, in place, as nn/activations.py has them.
ACTIVATIONS: dict[str, Callable[[Floats], object]] = {
    "relu": lambda x: np.maximum(x, 0.0, out=x),
    "leaky_relu": lambda x: np.multiply(x, 0.01, out=x, where=x < 0.0),
    "elu": lambda x: np.expm1(x, out=x, where=x < 0.0),
    "tanh": lambda x: np.tanh(x, out=x),
    "sigmoid": lambda x: np.multiply(0.5, 1.0 + np.tanh(0.5 * x), out=x),
    "softplus": lambda x: np.logaddexp(0.0, x, out=x),
    "identity": lambda x: x,
}
# Where a sum of nothing has an activation, it cannot be shared out among words.
THROUGH_ZERO = frozenset(ACTIVATIONS) - {"sigmoid", "softplus"}


@cache
def _filling() -> threading.Lock:
    """Held while rows are computed, of whichever table."""
    return threading.Lock()


if hasattr(os, "register_at_fork"):
    # another thread may have held it, and a forked child has no other threads
    os.register_at_fork(after_in_child=_filling.cache_clear)


class NgramTable:
    """Contributions of words to filters, and the largest window of each filter in a text.

    `embedding` float32[V, dim] (channels already added), `weight` float32[windows.rows, dim / groups]. float16 halves
    what is read per text; int8 quarters it and gives each filter one scale, so its sums are exact integers.

    `spell` makes float32[M, dim] of M words outside the vocabulary, given as ragged character ids, where the network
    reads characters; what those words add is computed whenever they are met.
    """

    def __init__(
        self, embedding: Floats, weight: Floats, windows: Windows,
        *, groups: int = 1, spell: Callable[[TokenBatch], Floats] | None = None,
        precision: TablePrecision = "float32", budget: int = 1 << 30, threads: int = 0,
    ) -> None:  # fmt: skip
        self.windows = windows
        self._spell = spell
        self.threads = threads or cores()
        self._embedding = np.ascontiguousarray(embedding, np.float32)
        self._packed = pack(np.ascontiguousarray(weight, np.float32), groups)
        dtype = np.dtype(precision)
        words = min(len(embedding), budget // (windows.rows * dtype.itemsize))
        self._table: Any = np.empty((words, windows.rows), dtype)
        self._filled = np.zeros(words, bool)
        self._all_filled = words == 0
        self._scale = self._quantize() if precision == "int8" else None
        if precision != "float32":
            log.warning(
                "%s tables: a feature differs from float32 by up to %.2g; textcnn evaluate --table-precision %s "
                "shows what that does to the accuracy", precision, self._largest_error(), precision,
            )  # fmt: skip

    @property
    def words(self) -> int:
        """Words that the budget holds."""
        return len(self._table)

    def gather(self, batch: TokenBatch, *, argmax: bool = False) -> tuple[Floats, Ids | None]:
        """Features before bias, float32[B, features] (-inf for an empty text), and the winning windows if asked for."""
        found = [
            gather_max(
                table, part.values, part.offsets, self.windows,
                scale=self._scale, argmax=argmax, threads=self.threads,
            )
            for table, part in self._parts(batch)
        ]  # fmt: skip
        if len(found) == 1:
            return found[0]
        features = np.concatenate([part for part, _ in found])
        return features, np.concatenate([starts for _, starts in found if starts is not None]) if argmax else None

    def with_layers(
        self, bias: Floats, activation: str, head_weight: Floats, head_bias: Floats, beside: NgramLinear | None = None
    ) -> TableLogits:
        """What comes behind the table, and n-grams beside it, in one go: for batches of words that are all `filled`."""
        return TableLogits(
            self._table, self._filled, self.windows, bias, activation, head_weight, head_bias,
            scale=self._scale, spells=self._spell is not None, beside=beside, threads=self.threads,
        )  # fmt: skip

    def filled(self, batch: TokenBatch) -> bool:
        """Compute the rows of a batch's words that are not there yet; False where words exceed the budget."""
        values = batch.values if self._spell else batch.unspelled().values
        if int(values.max(initial=0)) >= len(self._table):
            return False
        self._fill(values)
        return True

    def sums(self, batch: TokenBatch, *, reverse: bool = False) -> Floats:
        """Every token's row added to those before it (after it, if `reverse`): float32[N, features].

        For float32 tables of one width, whose offsets count back from the token itself.
        """
        (window,) = self.windows.filter_widths
        parts = [
            gather_sum(table, part.values, part.offsets, window, reverse=reverse, threads=self.threads)
            for table, part in self._parts(batch)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def best_words(self) -> tuple[Ids, Floats]:
        """For every row of the weights the word that adds most to it, and how much: int32 and float32[windows.rows]."""
        best = np.zeros(self.windows.rows, np.int32)
        most = np.full(self.windows.rows, -np.inf, np.float32)
        for start in range(1, len(self._embedding), ROWS_AT_ONCE):  # padding is no word
            words = np.arange(start, min(start + ROWS_AT_ONCE, len(self._embedding)), dtype=np.int32)
            rows = self._exact(words)
            at = rows.argmax(axis=0)
            value = rows[at, np.arange(len(at))]
            better = value > most
            best[better], most[better] = words[at[better]], value[better]
        return best, most

    def word_parts(self, batch: TokenBatch, starts: Ids, factors: Floats, slots: Ids, count: int) -> Parts:
        """What the words of winning windows add to them, times `factors`; see types.Winners.

        `starts` are the windows as `gather` gives them; `factors` float32[B, F].
        """
        total = np.zeros((count, max(self.windows.filter_widths)))
        first = 0
        for table, part in self._parts(batch):
            texts = slice(first, first + len(part))
            add_word_parts(
                table, part.values, part.offsets, self.windows, starts[texts], factors[texts], slots[texts], total,
                scale=self._scale,
            )  # fmt: skip
            first += len(part)
        return total

    def _parts(self, batch: TokenBatch) -> Iterator[tuple[Any, TokenBatch]]:
        """Tables and the row numbers of texts in them: the one table, or small ones where words exceed the budget."""
        if len(batch.values) and int(batch.values.max()) >= len(self._table):
            yield from self._over_budget(batch)
            return
        if not self._all_filled:
            self._fill(batch.values)
        yield self._table, batch

    def _fill(self, values: Ids) -> None:
        if self._filled[values].all():
            return
        with _filling():
            missing = np.unique(values[~self._filled[values]]).astype(np.int32)
            self._rows(self._embedding, missing, missing, self._table)
            self._filled[missing] = True
            self._all_filled = bool(self._filled.all())

    def _rows(self, embedding: Floats, words: Ids, slots: Ids, out: Any) -> None:
        """out[slots] = the rows of `words`, which are rows of `embedding`, in the table's precision."""
        if out.dtype == np.float32:
            project(embedding, self._packed, words, slots, out, threads=self.threads)
            return
        for start in range(0, len(words), ROWS_AT_ONCE):
            some = words[start : start + ROWS_AT_ONCE]
            exact = self._exact(some, embedding)
            if out.dtype == np.int8:
                # no word of the vocabulary adds more than 127 units, but one outside it may
                exact = np.clip(np.rint(exact / self._scale_of_column), -127, 127)
            out[slots[start : start + ROWS_AT_ONCE]] = exact

    def _exact(self, words: Ids, embedding: Floats | None = None) -> Floats:
        rows = np.empty((len(words), self.windows.rows), np.float32)
        embedding = self._embedding if embedding is None else embedding
        project(embedding, self._packed, words, np.arange(len(words), dtype=np.int32), rows, threads=self.threads)
        return rows

    def _quantize(self) -> Floats:
        """One scale a filter, from the largest contribution of any word at any offset; float32[features]."""
        largest = np.zeros(self.windows.rows, np.float32)
        for start in range(0, len(self._embedding), ROWS_AT_ONCE):
            words = np.arange(start, min(start + ROWS_AT_ONCE, len(self._embedding)), dtype=np.int32)
            np.maximum(largest, np.abs(self._exact(words)).max(axis=0, initial=0.0), out=largest)
        scale = np.empty(self.windows.features, np.float32)
        of_column = np.empty(self.windows.rows, np.float32)
        for width, filters, row, feature, _ in self.windows.groups():
            part = np.maximum(largest[row : row + width * filters].reshape(width, filters).max(axis=0), 1e-30) / 127.0
            scale[feature : feature + filters] = part
            of_column[row : row + width * filters] = np.tile(part, width)
        self._scale_of_column = of_column
        return scale

    def _largest_error(self) -> float:
        """How far rounding can move a feature, from the rows of the most frequent words."""
        words = np.arange(min(SAMPLED_WORDS, len(self._embedding)), dtype=np.int32)
        exact = self._exact(words)
        rounded = np.empty(exact.shape, self._table.dtype)
        self._rows(self._embedding, words, words, rounded)
        worst = np.abs(rounded * getattr(self, "_scale_of_column", 1.0) - exact).max(axis=0, initial=0.0)
        return max(
            float(worst[row : row + width * filters].reshape(width, filters).sum(axis=0).max())
            for width, filters, row, _, _ in self.windows.groups()
        )

    def _over_budget(self, batch: TokenBatch) -> Iterator[tuple[Any, TokenBatch]]:
        """A small table of just the words at hand, a few texts at a time."""
        vocabulary = len(self._embedding)
        for first in range(0, len(batch), TEXTS_OVER_BUDGET):
            part = batch.take(np.arange(first, min(first + TEXTS_OVER_BUDGET, len(batch))))
            words, local = np.unique(part.values, return_inverse=True)
            kept = words < len(self._table)
            table = np.empty((len(words), self.windows.rows), self._table.dtype)
            if kept.any():
                self._fill(words[kept])
                table[kept] = self._table[words[kept]]
            rare = ~kept & (words < vocabulary)
            self._rows(self._embedding, words[rare], np.flatnonzero(rare).astype(np.int32), table)
            outside = np.flatnonzero(words >= vocabulary).astype(np.int32)
            if len(outside):
                spelling = part.spelling and part.spelling.characters
                assert self._spell and spelling, "ids beyond the vocabulary are those of words that the network spells"
                vectors = self._spell(spelling.unknown.take(words[outside] - vocabulary))
                self._rows(vectors, np.arange(len(outside), dtype=np.int32), outside, table)
            yield table, TokenBatch(local.astype(np.int32), part.offsets)


class DirectLogits:
    """From token ids to logits in one go, where the table has the words or can have them; else None."""

    def __init__(self, table: NgramTable, layers: TableLogits) -> None:
        self._table, self._layers = table, layers

    def logits(self, batch: TokenBatch) -> Floats | None:
        """See TableLogits."""
        found = self._layers.logits(batch)
        return self._layers.logits(batch) if found is None and self._table.filled(batch) else found

    def evidence(self, batch: TokenBatch) -> tuple[Floats, Offsets, Evidence] | None:
        """See TableLogits."""
        found = self._layers.evidence(batch)
        return self._layers.evidence(batch) if found is None and self._table.filled(batch) else found


def largest_evidence(behind: Winners, batch: TokenBatch) -> tuple[Floats, Offsets, Evidence]:
    """The logits, which of each text's is the largest, int64[B], and the windows behind that, merged."""
    largest = behind.logits.argmax(axis=1)
    merged = merge_windows(behind.activations, behind.weight, behind.starts, behind.ends, largest, batch.offsets)
    return behind.logits, largest, merged


class NgramTableEngine:
    """Embedding -> one convolution -> max over time -> linear layer, by table."""

    name = "ngram_table"

    def __init__(
        self, table: NgramTable, bias: Floats, activation: str, head_weight: Floats, head_bias: Floats
    ) -> None:
        self.table = table
        self.bias = bias
        self._activation = activation
        self.head_weight = np.ascontiguousarray(head_weight, np.float32)
        self.head_bias = np.ascontiguousarray(head_bias, np.float32)
        self._direct = self.direct()

    def direct(self, beside: NgramLinear | None = None) -> DirectLogits | None:
        """The way that answers in one go, with n-grams beside the network; None where the kernels have none."""
        if self._activation not in FUSED or native() is None:
            return None
        layers = self.bias, self._activation, self.head_weight, self.head_bias
        return DirectLogits(self.table, self.table.with_layers(*layers, beside))

    @classmethod
    def why_not(cls, artifact: Artifact, options: EngineOptions) -> str | None:
        model = artifact.config.model
        if options.device not in ("auto", "cpu"):
            return f"it runs on a CPU, and device {options.device} was asked for"
        if model.join:
            return f"it reads texts as a whole, and the model joins {artifact.config.text.segments}"
        if reason := why_no_table(model.blocks, model.pooling) or why_not_linear(model.head):
            return reason
        return why_not_numpy()

    @classmethod
    def from_artifact(cls, artifact: Artifact, options: EngineOptions) -> NgramTableEngine:
        convolution = table_of(artifact, options)
        return cls(*convolution, *linear_head(artifact, convolution[0].windows.features))

    def features(self, batch: TokenBatch, *, argmax: bool = False) -> tuple[Floats, Ids | None]:
        """Activations after max over time float32[B, features] (an empty text: zeros); winning windows if asked for."""
        best, starts = self.table.gather(batch, argmax=argmax)
        best += self.bias
        return self._activated(best, batch), starts

    def activate(self, sums: Floats) -> Floats:
        """The activation of every filter, in place."""
        ACTIVATIONS[self._activation](sums)
        return sums

    def _activated(self, best: Floats, batch: TokenBatch) -> Floats:
        """In place."""
        self.activate(best)
        best[batch.lengths == 0] = 0.0
        return best

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]; the same bits for a text alone and in any batch."""
        found = self._direct.logits(batch) if self._direct else None
        if found is not None:
            return found
        features, _ = self.features(batch)
        return affine(features, self.head_weight, self.head_bias)

    def evidence(self, batch: TokenBatch) -> tuple[Floats, Offsets, Evidence]:
        """The same logits, which of each text's is the largest, int64[B], and the n-grams behind that."""
        found = self._direct.evidence(batch) if self._direct else None
        return found or largest_evidence(self.winners(batch), batch)

    def winners(self, batch: TokenBatch) -> Winners:
        """The same logits, and the windows behind them."""
        sums, starts = self.table.gather(batch, argmax=True)
        assert starts is not None
        sums += self.bias
        straight = self._activation in ("relu", "identity")
        activations = self._activated(sums if straight else sums.copy(), batch)

        def word_parts(weight: Floats, slots: Ids, count: int) -> Parts:
            # an activation over its sum is 1, or 0 where it contributes nothing; of the bent ones it is 1 at zero
            if not straight:
                weight = weight * np.divide(activations, sums, out=np.ones_like(sums), where=np.abs(sums) > TINY)
            return self.table.word_parts(batch, starts, weight, slots, count)

        return Winners(
            logits=affine(activations, self.head_weight, self.head_bias),
            activations=activations,
            starts=starts,
            ends=starts + self.table.windows.width_of_feature,
            weight=self.head_weight,
            bias=self.head_bias,
            word_parts=word_parts if self._activation in THROUGH_ZERO else None,
        )


def why_no_table(blocks: Sequence[Mapping[str, Any]], pooling: Mapping[str, Any]) -> str | None:
    """Why these are not one convolution and max over time that a look-up can stand for, or None."""
    kinds = [spec["type"] for spec in blocks]
    if kinds != ["kim_conv"]:
        return f"it needs exactly one kim_conv block, the model has {', '.join(kinds) or 'none'}"
    if blocks[0]["activation"] not in ACTIVATIONS:
        return f"activation {blocks[0]['activation']} cannot be taken after max over time"
    for option in ("stride", "dilation"):
        if blocks[0][option] != 1:
            return f"it needs {option} 1, the model has {blocks[0][option]}"
    if pooling["type"] != "max_over_time":
        return f"it needs pooling max_over_time, the model has {pooling['type']}"
    return None


def why_not_linear(head: Mapping[str, Any]) -> str | None:
    """Why the logits are not one matrix product, or None."""
    if head.get("hidden_dim"):
        return f"it needs a head without hidden layer, the model's has {head['hidden_dim']} units"
    return None


def windows_of(spec: Mapping[str, Any]) -> Windows:
    """The windows of a kim_conv."""
    widths, filters = tuple(spec["filter_widths"]), spec["num_filters"]
    filters = (filters,) * len(widths) if isinstance(filters, int) else tuple(filters)
    return Windows(widths, filters, spec["padding"]).times(groups_of(spec))


def groups_of(spec: Mapping[str, Any]) -> int:
    """The groups of a kim_conv; models from before there were any have one."""
    found: int = spec.get("groups", 1)
    return found


def table_of(artifact: Artifact, options: EngineOptions) -> tuple[NgramTable, Floats, str]:
    """Embedding and the first block of a model as a table, the bias of that block, and its activation."""
    spec = merged_model(artifact.config).blocks[0]
    windows, (embedding, spell) = windows_of(spec), word_vectors(artifact)
    groups = groups_of(spec)
    shapes = {
        "encoder.blocks.0.weight": (windows.rows, embedding.shape[1] // groups),
        "encoder.blocks.0.bias": (windows.features,),
    }
    weight, bias = weights_of(artifact, shapes)
    table = NgramTable(
        embedding, weight, windows, groups=groups, spell=spell,
        precision=options.table_precision, budget=options.table_budget, threads=options.threads,
    )  # fmt: skip
    return table, bias, spec["activation"]


def word_vectors(artifact: Artifact) -> tuple[Floats, Callable[[TokenBatch], Floats] | None]:
    """What the first block sees of each word of the vocabulary, float32[V, word_dim], and of words outside it.

    The channels are added in every mode (nn/embedding.py). What the characters of a word say depends on nothing else,
    so it is folded in; the second value makes float32[M, word_dim] of other words' ragged character ids, if the network
    reads characters.
    """
    embedding = merged_model(artifact.config).embedding
    names = {"static": ["fixed"], "multichannel": ["fixed", "weight"]}.get(embedding.mode, ["weight"])
    shape = (len(artifact.tokenizer), embedding.dim)
    channels = weights_of(artifact, {f"encoder.embedding.{name}": shape for name in names})
    own = channels[0] if len(channels) == 1 else channels[0] + channels[1]
    speller, options = artifact.tokenizer.speller, embedding.characters
    if not embedding.spelled or speller is None:
        return own, None
    windows = Windows(options.filter_widths, (options.num_filters,) * len(options.filter_widths))
    characters, weight, bias = weights_of(
        artifact,
        {
            "encoder.characters.embedding.weight": (len(speller.characters), options.dim),
            "encoder.characters.blocks.0.weight": (windows.rows, options.dim),
            "encoder.characters.blocks.0.bias": (windows.features,),
        },
    )
    table = NgramTable(characters, weight, windows)

    def written(words: TokenBatch) -> Floats:
        best, _ = table.gather(words)
        activations: Floats = np.maximum(best + bias, 0.0)  # of -inf too: a word without characters
        return activations

    def spell(words: TokenBatch) -> Floats:
        unknown = np.broadcast_to(own[UNKNOWN_ID], (len(words), embedding.dim))
        return np.concatenate([unknown, written(words)], axis=1)

    return np.concatenate([own, written(speller.known)], axis=1), spell


def linear_head(artifact: Artifact, features: int) -> list[Floats]:
    """Weight float32[classes, features] and bias float32[classes] of a head without hidden layer."""
    classes = len(artifact.labels)
    return weights_of(artifact, {"head.linear.weight": (classes, features), "head.linear.bias": (classes,)})
