"""A tiny corpus, and one tiny classifier, trained once. Heavy imports wait until a test asks."""

from __future__ import annotations

import csv
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from textcnn import TextClassifier

# A job in the background of a shell ignores Ctrl-C, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# For tensors this small a second thread only waits, and that keeps a core busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Learns the tiny corpus within a second.
TINY: dict[str, Any] = {
    "model": {
        "embedding": {"dim": 16},
        "blocks": [{"type": "kim_conv", "filter_widths": [2, 3], "num_filters": 8}],
    },
    "train": {"max_epochs": 6, "learning_rate": 0.02, "batch_size": 8},
}

_TOPICS = {
    "billing": ["charged twice", "the wrong amount", "my invoice", "a refund please", "pay by card"],
    "delivery": ["where is my parcel", "the courier", "still not delivered", "tracking number", "left in the rain"],
    "repair": ["it is broken", "the screen stays dark", "makes a loud noise", "does not switch on", "error 14"],
}
_FILLERS = ["hello,", "since monday", "for the lamp", "i ordered", "again!", "can you help?", "thanks", "the red one"]


def tiny_corpus(rows: int = 90, seed: int = 0) -> tuple[list[str], list[str]]:
    """Short messages of three classes, told apart by their phrases: texts and labels."""
    choose = random.Random(seed)
    labels = [list(_TOPICS)[row % len(_TOPICS)] for row in range(rows)]
    texts = []
    for label in labels:
        words = [*choose.sample(_FILLERS, 3), *choose.sample(_TOPICS[label], 2)]
        choose.shuffle(words)
        texts.append(" ".join(words))
    return texts, labels


def write_csv(path: Path, texts: list[str], labels: list[str], names: tuple[str, str] = ("text", "label")) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *zip(texts, labels, strict=True)])
    return path


@pytest.fixture(scope="session")
def corpus() -> tuple[list[str], list[str]]:
    return tiny_corpus()


@pytest.fixture(scope="session")
def classifier(corpus: tuple[list[str], list[str]]) -> TextClassifier:
    """A tiny trained classifier; do not change it."""
    from textcnn import TextClassifier

    return TextClassifier(TINY).fit(*corpus)


@pytest.fixture(scope="session")
def model_folder(classifier: TextClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier as models/tiny/1; do not change it."""
    from textcnn.artifact import write_artifact

    folder = tmp_path_factory.mktemp("models") / "tiny" / "1"
    write_artifact(folder, classifier.artifact_)
    return folder
