"""A classifier without torch, and apps that serve it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from textcnn.types import LabelScore, Prediction


class FakeClassifier:
    """Puts a text into the class whose name it holds, else into the first. "boom" fails; `gate` keeps "wait" waiting.

    With `slow` every call takes so long that none is run on the event loop.
    """

    name = "fake"
    version = "3"
    classes_ = ("apple", "banana", "cherry")
    engine_name = "fake"
    max_length = 50

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.slow = False

    def classify(self, texts, *, top_k=1):
        if self.slow:
            time.sleep(0.003)
        return [self._classify_one(text, top_k) for text in texts]

    def _classify_one(self, text, top_k):
        if text == "boom":
            raise RuntimeError("cannot classify boom")
        if text == "wait":
            self.begun.set()
            self.gate.wait(10)
        best = next((label for label in self.classes_ if label in text), "apple")
        others = [label for label in self.classes_ if label != best]
        scores = (LabelScore(best, 0.5), LabelScore(others[0], 0.375), LabelScore(others[1], 0.125))
        return Prediction(scores[:top_k])


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("TEXTCNN_"):
            monkeypatch.delenv(name)


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[str], Path]:
    """Make a complete, empty model folder below tmp_path, e.g. `models/fake/3`."""

    def make(path: str) -> Path:
        folder = tmp_path / path
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
        return folder

    return make


@pytest.fixture
def classifier() -> FakeClassifier:
    return FakeClassifier()


@pytest.fixture
def make_client(make_model, tmp_path: Path, classifier: FakeClassifier) -> Iterator[Callable[..., TestClient]]:
    """A client of an app that serves `classifier` (or what `load` gives) and is ready unless `wait` is false."""
    make_model("models/fake/3")
    with ExitStack() as stack:

        def make(*, wait: bool = True, load=lambda path: classifier, **settings) -> TestClient:
            settings = {"models": tmp_path / "models", "hosts": "testserver", **settings}
            app = create_app(Settings(**settings), load=load)
            client = stack.enter_context(TestClient(app, raise_server_exceptions=True))
            deadline = time.monotonic() + 5
            while wait and client.get("/health/ready").status_code != 200:
                assert time.monotonic() < deadline, "the fake model did not load"
                time.sleep(0.005)
            return client

        yield make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()
