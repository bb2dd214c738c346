"""The wide part of a model (Cheng et al. 2016): a linear classifier on n-grams; its logits are added to an engine's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from textcnn.inference.engine import Engine
from textcnn.inference.ngram_table import NgramTableEngine, largest_evidence
from textcnn.kernels.native import cores
from textcnn.kernels.ngram_linear import NgramLinear
from textcnn.types import Evidence, Floats, Offsets, Parts, TokenBatch, Winners


def beside_ngrams(engine: Engine, wide: NgramLinear, *, threads: int, spells: bool = False) -> WideEngine:
    """An engine and the linear classifier beside it as one; `spells` as in WideEngine."""
    threads = threads or cores()
    if isinstance(engine, NgramTableEngine):
        return DirectWideEngine(engine, wide, threads=threads, spells=spells)
    return WideEngine(engine, wide, threads=threads, spells=spells)


def network_engine(engine: Engine) -> Engine:
    """What runs the network alone."""
    return engine.engine if isinstance(engine, WideEngine) else engine


class WideEngine:
    """Answers as `engine` does, and the linear classifier; see textcnn.inference.engine.Engine.

    `spells`: the network reads how words are written, too.
    """

    def __init__(self, engine: Any, wide: NgramLinear, *, threads: int, spells: bool) -> None:
        self.engine = engine
        self.wide = wide
        self.name: str = engine.name
        self._threads = threads
        self._spells = spells

    def _read(self, batch: TokenBatch) -> TokenBatch:
        """The batch as the network reads it."""
        return batch if self._spells else batch.unspelled()

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""
        found: Floats = self.engine.logits(self._read(batch))
        self.wide.add_logits(batch, found, threads=self._threads)
        return found

    def word_shares(self, batch: TokenBatch, targets: Offsets) -> tuple[Parts, Parts]:
        """What n-grams add to logit targets[i] of text i, in equal parts to their tokens: float64[N]; and its bias."""
        none = np.zeros(0, np.int64)
        nothing = Evidence(np.zeros(len(batch) + 1, np.int64), none, none, np.zeros(0))
        found, own = self.wide.add_evidence(nothing, batch, targets)
        sizes = found.ends - found.starts
        first = found.starts + np.repeat(batch.offsets[:-1], np.diff(found.offsets))
        tokens = np.repeat(first - np.append(0, np.cumsum(sizes)[:-1]), sizes) + np.arange(sizes.sum())
        shares: Parts = np.bincount(tokens, np.repeat(own / sizes, sizes), minlength=len(batch.values)).astype(float)
        return shares, self.wide.bias[targets].astype(np.float64)

    def winners(self, batch: TokenBatch) -> Winners | None:
        """The windows of tokens behind the network's logits, and the n-grams beside them."""
        found: Winners | None = self.engine.winners(self._read(batch))
        if found is None:
            return None
        logits = found.logits.copy()
        self.wide.add_logits(batch, logits, threads=self._threads)

        def beside(there: Evidence, targets: Offsets, signs: Floats | None) -> tuple[Evidence, Parts]:
            return self.wide.add_evidence(there, batch, targets, signs)

        return replace(found, logits=logits, bias=found.bias + self.wide.bias, beside=beside)


class DirectWideEngine(WideEngine):
    """Beside a table, with which the n-grams are one compiled call where a text has no other words than it knows."""

    def __init__(self, engine: NgramTableEngine, wide: NgramLinear, *, threads: int, spells: bool) -> None:
        super().__init__(engine, wide, threads=threads, spells=spells)
        self._direct = engine.direct(wide)

    def logits(self, batch: TokenBatch) -> Floats:
        """float32[B, num_classes]."""
        found = self._direct.logits(batch) if self._direct else None
        return super().logits(batch) if found is None else found

    def evidence(self, batch: TokenBatch) -> tuple[Floats, Offsets, Evidence]:
        """The logits, which of each text's is the largest, int64[B], and the n-grams behind that."""
        found = self._direct.evidence(batch) if self._direct else None
        if found is None:
            behind = self.winners(batch)
            assert behind is not None, "a table always has them"
            found = largest_evidence(behind, batch)
        logits, largest, windows = found
        merged, _ = self.wide.add_evidence(windows, batch, largest)
        return logits, largest, merged
