from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textcnn.errors import DataError
from textcnn.text.train_vectors import train_vectors
from textcnn.text.vectors import load_vectors

from ...conftest import tiny_corpus

TEXTS, _ = tiny_corpus(90)


@pytest.mark.parametrize("kind", ["word2vec", "fasttext"])
def test_vectors_of_ones_own_can_be_loaded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.bin"
    count = train_vectors(TEXTS, path, kind=kind, dim=12, min_count=3, epochs=2)
    assert count > 20
    loaded = load_vectors(path, ["<pad>", "<unk>", "parcel", "invoice"], seed=1)
    assert loaded.matrix.shape == (4, 12)
    assert np.abs(loaded.matrix[2:]).sum() > 0


def test_one_thread_and_one_seed_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        train_vectors(TEXTS, tmp_path / name, dim=5, min_count=3, epochs=1, threads=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_how_far_it_is_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcnn.text.train_vectors.TELL_EVERY", 30)
    told: list[float] = []
    train_vectors(TEXTS, tmp_path / "v", dim=5, min_count=3, epochs=2, tell=told.append)
    assert told == pytest.approx([(i + 1) / 9 for i in range(9)]), "90 texts are read three times"


def test_texts_without_a_frequent_word_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no word stands 5 times in the 2 texts; lower --min-count"):
        train_vectors(["a b", "c d"], tmp_path / "v.bin")
