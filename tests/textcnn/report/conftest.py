from __future__ import annotations

from pathlib import Path

import pytest

from textcnn import TextClassifier
from textcnn.data.readers import Examples, ReadOptions, read_examples
from textcnn.doctor.check import Checkup, check

from ...conftest import tiny_corpus, write_csv

NASTY = '<script>alert("x")</script> </script> & 🙂 where is my parcel'


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of which some are labelled wrongly, one has a label of its own, and one looks like markup."""
    texts, labels = tiny_corpus(60, seed=1)
    labels = [labels[i - 1] if i % 10 == 0 else label for i, label in enumerate(labels)]
    folder = tmp_path_factory.mktemp("report")
    return write_csv(folder / "data.csv", [*texts, NASTY, "rain"], [*labels, "billing", "weather"])


@pytest.fixture(scope="session")
def examples(data: Path) -> Examples:
    return read_examples(data)


@pytest.fixture(scope="session")
def checkup(data: Path) -> Checkup:
    return check(data, ReadOptions())


@pytest.fixture(scope="session")
def model(model_folder: Path) -> TextClassifier:
    return TextClassifier.load(model_folder)
