"""What is let go when another version answers, with real models."""

from __future__ import annotations

import asyncio
import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest

from service.metrics import Metrics
from service.model_registry import ModelRegistry, load_classifier
from service.settings import Settings

from ..patience import PATIENCE

CHANGES = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_after_many_changes_one_engine_is_alive_and_no_series_is_new(model_folder: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        shutil.copytree(model_folder, tmp_path / "models" / "m" / version)
    settings, metrics = Settings(models=tmp_path / "models", model="m"), Metrics()
    made: dict[str, list[weakref.ref[Any]]] = {"classifier": [], "engine": [], "deployment": []}

    def load(path: Path) -> Any:
        classifier = load_classifier(path, settings)
        made["classifier"].append(weakref.ref(classifier))
        made["engine"].append(weakref.ref(classifier._fitted().engine))
        return classifier

    async def change(times: int) -> int:
        """How many lines of series there are after so many."""
        for number in range(times):
            live = {"live": str(number % 2 + 1)}
            await registry.change("m", lambda plan, live=live: plan.model_copy(update={"aliases": live}))
            deployment = registry.choose("m")
            made["deployment"].append(weakref.ref(deployment))
            with deployment.held():
                await deployment.batcher.submit([("where is my parcel", 1)], [50])
            del deployment
        return len(metrics.exposition().splitlines())

    registry = ModelRegistry(settings, metrics, load)
    await registry.start()
    before = await change(2)
    assert await change(CHANGES) == before
    async with asyncio.timeout(PATIENCE):  # the threads of versions that were let go end when they do
        while {name: sum(ref() is not None for ref in refs) for name, refs in made.items()} != dict.fromkeys(made, 1):
            gc.collect()
            await asyncio.sleep(0.01)
    assert len(made["engine"]) >= CHANGES
    registry.close()
