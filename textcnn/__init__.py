"""Train a sentence CNN on a CSV and serve it over HTTP. Public names only, loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textcnn.artifact import model_versions as model_versions
    from textcnn.classifier import TextClassifier as TextClassifier
    from textcnn.config import RunConfig as RunConfig
    from textcnn.errors import TextCNNError as TextCNNError
    from textcnn.types import Counterfactual as Counterfactual
    from textcnn.types import Explanation as Explanation
    from textcnn.types import LabelScore as LabelScore
    from textcnn.types import Ngram as Ngram
    from textcnn.types import Prediction as Prediction
    from textcnn.types import Summary as Summary

_HOMES = {
    "TextClassifier": "textcnn.classifier",
    "RunConfig": "textcnn.config",
    "TextCNNError": "textcnn.errors",
    "Counterfactual": "textcnn.types",
    "Explanation": "textcnn.types",
    "LabelScore": "textcnn.types",
    "Ngram": "textcnn.types",
    "Prediction": "textcnn.types",
    "Summary": "textcnn.types",
    "model_versions": "textcnn.artifact",
}

__all__ = [
    "Counterfactual",
    "Explanation",
    "LabelScore",
    "Ngram",
    "Prediction",
    "RunConfig",
    "Summary",
    "TextCNNError",
    "TextClassifier",
    "__version__",
    "model_versions",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("textcnn")
    if name not in _HOMES:
        raise AttributeError(f"module 'textcnn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
