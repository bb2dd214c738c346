from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import NotReadyError
from service.model_registry import ModelRegistry, load_classifier
from service.settings import Settings


def test_a_registry_is_not_ready_before_a_model_was_added(classifier):
    registry = ModelRegistry(lambda path: classifier)
    assert registry.all() == []
    with pytest.raises(NotReadyError):
        registry.get()
    registry.add(Path("m"))
    assert registry.get() is classifier
    assert registry.all() == [classifier]


def test_a_model_that_fails_its_warm_up_is_not_published(classifier, monkeypatch):
    def fail(texts, *, top_k=1):
        raise RuntimeError("broken")

    monkeypatch.setattr(classifier, "classify", fail)
    registry = ModelRegistry(lambda path: classifier)
    with pytest.raises(RuntimeError, match="broken"):
        registry.add(Path("m"))
    assert registry.all() == []


def test_the_settings_reach_the_loader(monkeypatch):
    calls = []
    monkeypatch.setattr("textcnn.TextClassifier.load", lambda path, **options: calls.append((path, options)))
    settings = Settings(device="cuda", engine="torch", table_precision="int8", table_budget="200MB", threads=2)
    load_classifier(Path("m"), settings)
    options = {
        "device": "cuda", "engine": "torch", "table_precision": "int8", "table_budget": 200_000_000, "threads": 2,
    }  # fmt: skip
    assert calls == [(Path("m"), options)]
