"""A classifier without torch, and apps that serve it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

# not relative: FAKE_MAIN runs this file by its path
from tests.patience import PATIENCE, until
from textcnn.errors import DataError
from textcnn.types import Explanation, LabelScore, Ngram, Prediction, Ranking, split_texts

ROOT = Path(__file__).resolve().parents[2]
# httpx gives up after 5 s, which says nothing on a machine under load
get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)


class FakeClassifier:
    """Puts a text into the class whose name it holds, else into the first. "boom" fails; `gate` keeps "wait" waiting.

    With `slow` every call takes so long that none is run on the event loop.
    """

    labels = ("apple", "banana", "cherry")
    head = {"type": "single_label"}
    metrics_: dict[str, Any] = {}
    on_tokenized = None
    engine_name = "fake"
    max_length = 50
    texts_per_record = 1

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.slow = False
        self.answer_as = lambda prediction: prediction

    def classify(self, texts, *, top_k=1):
        if self.slow:
            time.sleep(0.003)
        answers = [self.answer_as(self._classify_one(text, 3)) for text in texts]
        return [replace(answer, top=answer.top[:top_k]) for answer in answers]

    def rank(self, texts, *, top_k=1):
        if self.head["type"] in ("multi_label", "multi_task"):
            return None
        found = self.classify(texts, top_k=top_k)
        rows = [[self.labels.index(score.label) for score in prediction.top] for prediction in found]
        scores = [[score.probability for score in prediction.top] for prediction in found]
        abstained = [prediction.abstained for prediction in found]
        best = np.array(rows, np.int64).reshape(len(texts), top_k)
        return Ranking(best, np.array(scores, np.float32).reshape(best.shape), np.array(abstained, bool))

    def familiarity(self, texts):
        if "unvalidated" in texts:
            raise DataError("the model was trained without validation data")
        return [0.35 for _ in texts]

    explanation_methods = ("ngrams", "occlusion", "grad_cam")

    def explain(self, texts, *, labels=None, top_n=None, method=None):
        return [
            replace(self._explain_one(text, label), method=method or "ngrams")
            for text, label in zip(texts, labels or [None] * len(texts), strict=True)
        ]

    def _explain_one(self, text, label):
        best = self._classify_one(text, 3).top[0]
        place = max(text.find(best.label), 0)
        ngram = Ngram(place, place + len(best.label), text[place : place + len(best.label)], 1.5)
        found = Explanation(label or best.label, best.probability, 2.0, 0.5, (ngram,), 0.0, "ngrams", True)
        cut = text.find("[end]")  # what stands behind this is not read
        return replace(found, unread=(cut, len(text))) if cut >= 0 else found

    def _classify_one(self, text, top_k):
        if text == "boom":
            raise RuntimeError("cannot classify boom")
        if text == "wait":
            self.begun.set()
            self.gate.wait(PATIENCE)
        several = self.head["type"] == "multi_task"
        labels = [label.partition("=")[2] if several else label for label in self.labels[:3]]
        best = next((label for label in labels if label in text), "apple")
        others = [label for label in labels if label != best]
        scores = (LabelScore(best, 0.5), LabelScore(others[0], 0.375), LabelScore(others[1], 0.125))
        return Prediction(scores[:top_k])


class Pairs(FakeClassifier):
    """Reads two texts together and answers for the second; keeps what it was asked."""

    texts_per_record = 2

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def classify(self, texts, *, top_k=1):
        self.asked += texts
        return super().classify([split_texts(text)[1] for text in texts], top_k=top_k)

    def _explain_one(self, text, label):
        found = super()._explain_one(split_texts(text)[1], label)
        return replace(found, ngrams=tuple(replace(ngram, segment=1) for ngram in found.ngrams))


# what the fake makes of its answer for a head of another type
ANSWERS: dict[str, Callable[[Prediction], Prediction]] = {
    "multi_label": lambda one: replace(one, labels=one.top[:2] if one.label != "apple" else ()),
    "multi_task": lambda one: replace(one, tasks={"fruit": one, "colour": replace(one, abstained=True)}),
    "abstaining": lambda one: replace(one, abstained=one.label == "apple"),
}


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
            if wait:
                until(lambda: client.get("/health/ready").status_code == 200, "the fake model")
            return client

        yield make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()


# The command with a fake in place of the class that it loads; workers run this file again.
FAKE_MAIN = """
import importlib.util, sys, time
import textcnn

spec = importlib.util.spec_from_file_location("fake", {conftest!r})
fake = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake)

class TextClassifier:
    @staticmethod
    def load(path, *, engine, **options):
        if engine == "broken":
            from textcnn.errors import EngineError
            raise EngineError("no engine is called 'broken'")
        pairs = engine == "pairs" and path.parent.name != "single"
        classifier = fake.Pairs() if pairs else fake.FakeClassifier()
        classifier.slow = engine == "slow"  # too slow to be asked on the event loop
        if engine == "nasty":
            classifier.labels = ("apple", "<img src=x onerror=alert(1)>", "cherry")
        if engine in fake.ANSWERS:
            classifier.head = {{"type": engine}}
            classifier.answer_as = fake.ANSWERS[engine]
        if engine == "multi_task":
            classifier.labels = tuple(
                f"{{task}}={{label}}" for task in ("fruit", "colour") for label in fake.FakeClassifier.labels
            )
        return classifier

textcnn.TextClassifier = TextClassifier

if __name__ == "__main__":
    from service.__main__ import main
    sys.exit(main(sys.argv[1:]))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """The fake service in a process of its own."""

    def __init__(self, script: Path, models: Path, *arguments: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        flags = ["--port", str(port), "--models", str(models), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._log = script.with_name(f"{port}.log")
        with open(self._log, "w") as log:
            self.process = subprocess.Popen([sys.executable, str(script), *flags], env=environment, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def status(self, path: str, **options: Any) -> int:
        """Of an answer to GET, 0 where none comes."""
        try:
            return httpx.get(self.url + path, timeout=PATIENCE, **options).status_code
        except httpx.TransportError:
            return 0

    def wait_until_ready(self) -> Server:
        """Until every process is: one that still starts would meet what a test does to the folder of models."""
        self.until(lambda: self.log.count('"message":"ready"') >= self._workers, "every process")
        self.until(lambda: self.status("/health/ready") == 200, "the service")
        return self

    def until(self, condition: Callable[[], object], what: str) -> None:
        """As `patience.until`, of what comes only while the service runs."""

        def holds() -> object:
            assert self.process.poll() is None, self.log
            return condition()

        until(holds, what)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and log."""
        self.process.send_signal(number)
        return self.ended()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def ended(self) -> tuple[int, str]:
        return self.process.wait(PATIENCE), self.log


@pytest.fixture(scope="module")
def launch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the fake service that is started has its models."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def launch(launch_folder: Path) -> Iterator[Callable[..., Server]]:
    """Start the fake service with some flags, for as long as the tests of a file run."""
    folder = launch_folder
    (folder / "models" / "fake" / "3").mkdir(parents=True)
    (folder / "models" / "fake" / "3" / "manifest.json").write_text("{}")
    script = folder / "fake_main.py"
    script.write_text(FAKE_MAIN.format(conftest=__file__))
    servers: list[Server] = []

    def make(*arguments: str) -> Server:
        servers.append(Server(script, folder / "models", *arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def start(launch) -> Iterator[Callable[..., Server]]:
    """Start the fake service for one test."""
    servers: list[Server] = []

    def make(*arguments: str) -> Server:
        servers.append(launch(*arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio; another loop that happens to be installed is not asked."""
    return "asyncio"
