"""A trained model and the engine that runs it: from texts as they are given to logits and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.answers import is_single, probabilities
from textcnn.artifact import Artifact
from textcnn.data.given import as_strings
from textcnn.data.label_rows import LabelRows, Labels, check_pairs
from textcnn.data.texts import Texts, text_strings
from textcnn.errors import ArtifactError, DataError, needs_extra
from textcnn.golden import golden_faults
from textcnn.inference.engine import EngineOptions
from textcnn.inference.select import select_engine
from textcnn.inference.wide import network_engine
from textcnn.types import Floats, TokenBatch

# Called now and then with the share of the texts that is behind, 0 to 1.
Tell = Callable[[float], None]
TEXTS_AT_ONCE = 4096


class Fitted:
    """What a TextClassifier has as soon as it was fitted or loaded.

    `on_tokenized` is told of every batch: the seconds that its tokens took, and the tokens.
    """

    def __init__(self, artifact: Artifact, *, engine: str = "auto", options: EngineOptions | None = None) -> None:
        """Raises EngineError if the engine cannot run the model."""
        self.artifact = artifact
        self.on_tokenized: Callable[[float, TokenBatch], None] | None = None
        options = options or EngineOptions()
        self._running = engine, options
        self.engine = select_engine(artifact, engine=engine, options=options)
        self._network: Any = None  # in torch, made when somebody first asks for its gradients

    def with_artifact(self, artifact: Artifact) -> Fitted:
        """The same weights, and so the same engine, with other figures or another calibration."""
        other = object.__new__(Fitted)
        other.__dict__ |= {**self.__dict__, "artifact": artifact}
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Other processes get the model, not the engine's tables, which are made anew."""
        return {"artifact": self.artifact, "running": self._running}

    def __setstate__(self, state: dict[str, Any]) -> None:
        engine, options = state["running"]
        Fitted.__init__(self, state["artifact"], engine=engine, options=options)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.artifact.labels.names

    @property
    def head(self) -> dict[str, Any]:
        return self.artifact.config.model.head

    @property
    def texts_per_record(self) -> int:
        return self.artifact.config.model.texts_per_record

    def texts(self, given: Texts) -> Sequence[str]:
        """One string a text or record. Raises DataError for other texts than those that the model was fitted on."""
        return text_strings(given, self.texts_per_record)

    def pairs(self, texts: Texts, labels: Labels) -> tuple[Sequence[str], LabelRows]:
        """Texts and the labels of each. Raises DataError if there are none, or not as many of the one as the other."""
        rows = LabelRows.read(labels, self.head["type"], self.artifact.config.data.label_separator)
        strings = self.texts(texts)
        check_pairs(len(strings), len(rows))
        return strings, rows

    def logits(self, texts: Texts, tell: Tell | None = None) -> Floats:
        """float32[len(texts), labels]; all at once, or piece by piece where somebody wants to be told."""
        strings = self.texts(texts)
        if not strings:
            return np.empty((0, len(self.labels)), np.float32)
        if tell is None:
            return self._piece(strings)
        parts = []
        for first in range(0, len(strings), TEXTS_AT_ONCE):
            parts.append(self._piece(strings[first : first + TEXTS_AT_ONCE]))
            tell(min(first + TEXTS_AT_ONCE, len(strings)) / len(strings))
        return np.concatenate(parts)

    def _piece(self, texts: Sequence[str]) -> Floats:
        started = perf_counter()
        batch = self.artifact.tokenizer.encode(texts)
        if self.on_tokenized:
            self.on_tokenized(perf_counter() - started, batch)
        return self.engine.logits(batch)

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated, float32[B, labels]."""
        return probabilities(logits, self.head, self.artifact.calibration)

    def predict_proba(self, texts: Texts) -> Floats:
        """float32[len(texts), labels]."""
        return self.probabilities(self.logits(texts))

    def targets(self, labels: str | Sequence[str] | None, texts: int) -> npt.NDArray[np.int64] | None:
        """The class index of the label that is asked for, for each text. Raises LabelError, DataError."""
        if labels is None:
            return None
        named = [labels] * texts if isinstance(labels, str) else as_strings(labels, "label")
        if len(named) != texts:
            raise DataError(f"{len(named)} labels for {texts} texts; give one label for each, or one for all")
        return self.artifact.labels.encode(named)

    def network(self, method: str | None) -> Any:
        """The network whose gradients a method of explaining takes, in eval mode. Raises MissingExtraError."""
        if (network := getattr(network_engine(self.engine), "network", None)) is not None:  # torch answers with it
            return network
        if self._network is None:
            with needs_extra(f"method {method}", "train"):
                from textcnn.inference.torch_engine import artifact_network
            self._network = artifact_network(self.artifact).eval()
        return self._network

    def check_golden(self) -> None:
        """Raises ArtifactError where the golden texts get other answers than when the model was written."""
        artifact, (_, options) = self.artifact, self._running
        wrong = golden_faults(artifact.golden, self.predict_proba, self.labels, precision=options.table_precision)
        if wrong:
            raise ArtifactError(
                f"the model {artifact.name}/{artifact.version} does not answer as it did when it was written: "
                f"{wrong[0]} ({len(wrong)} such). Its files are whole, so {self.engine.name} or a package computes "
                "something else here; try another engine, or train it again here"
            )

    def check_top_k(self, top_k: int | None) -> None:
        count = len(self.labels)
        if top_k is not None and not 1 <= top_k <= count:
            raise ValueError(f"top_k is {top_k}, expected 1 to {count} (the number of labels) or None")

    def check_one_label(self, what: str) -> None:
        """Raises DataError where a text may have several labels."""
        if not is_single(self.head):
            raise DataError(
                f"{what} is for models that give one label to a text; this one has a {self.head['type']} head"
            )

    def check_one_text(self, what: str) -> None:
        """Raises DataError where several texts are read together."""
        if self.texts_per_record > 1:
            raise DataError(f"{what} is of one text; this model reads {self.texts_per_record} together")
