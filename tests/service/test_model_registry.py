from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import NotReadyError
from service.model_registry import ModelRegistry


def test_a_registry_is_not_ready_before_a_model_was_added(classifier):
    registry = ModelRegistry(lambda path, *, device, engine: classifier)
    assert registry.all() == []
    with pytest.raises(NotReadyError):
        registry.get()
    registry.add(Path("m"), device="cpu", engine="auto")
    assert registry.get() is classifier
    assert registry.all() == [classifier]


def test_a_model_that_fails_its_warm_up_is_not_published(classifier, monkeypatch):
    def fail(texts, *, top_k=1):
        raise RuntimeError("broken")

    monkeypatch.setattr(classifier, "classify", fail)
    registry = ModelRegistry(lambda path, *, device, engine: classifier)
    with pytest.raises(RuntimeError, match="broken"):
        registry.add(Path("m"), device="cpu", engine="auto")
    assert registry.all() == []


def test_the_settings_reach_the_loader(classifier):
    calls = []

    def load(path, *, device, engine):
        calls.append((path, device, engine))
        return classifier

    ModelRegistry(load).add(Path("m"), device="cuda", engine="torch")
    assert calls == [(Path("m"), "cuda", "torch")]
