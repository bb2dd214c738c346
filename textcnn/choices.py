"""The words that a user chooses among, each list once: for settings, arguments and flags. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

AbstainingGoal = Literal["precision", "f1"]
BadRowsPolicy = Literal["stop", "skip"]
CalibrationMethod = Literal["temperature", "vector", "isotonic", "none"]
EmbeddingMode = Literal["rand", "static", "non-static", "multichannel"]
ExplanationMethod = Literal["ngrams", "occlusion", "grad_cam", "integrated_gradients"]
LearningRateSchedule = Literal["constant", "plateau", "linear", "cosine"]
Monitor = Literal["accuracy", "loss"]
Rebuild = Literal["bag", "sequence"]
Segments = Literal["none", "columns", "sentences"]
Spelled = Literal["none", "unknown", "all"]
TablePrecision = Literal["float32", "float16", "int8"]
VectorsKind = Literal["word2vec", "fasttext"]
