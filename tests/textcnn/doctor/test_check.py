from __future__ import annotations

from pathlib import Path

import pytest

from textcnn.data.readers import ReadOptions
from textcnn.doctor.check import check
from textcnn.errors import ReadError

from ...conftest import tiny_corpus, write_csv


def test_every_check_runs_and_problems_come_first(tmp_path: Path) -> None:
    texts, labels = tiny_corpus(60)
    data = write_csv(tmp_path / "data.csv", [*texts, "", texts[0], "x"], [*labels, "repair", labels[0], "Repair"])
    told: list[tuple[str, float]] = []
    checkup = check(data, ReadOptions(), tell=lambda what, share: told.append((what, share)))
    kinds = [found.kind for found in checkup.findings]
    assert {"unusable_rows", "duplicates", "label_spellings", "lengths", "unknown_words"} <= set(kinds)
    levels = [found.level for found in checkup.findings]
    assert levels == sorted(levels, key=["problem", "warning", "note"].index)
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1] == ("done", 1.0)
    (unusable,) = (found for found in checkup.findings if found.kind == "unusable_rows")
    assert [(suspect.row, suspect.detail) for suspect in unusable.suspects] == [(62, "the text is empty")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv"], "no file is left behind"


def test_the_test_file_is_looked_at_too(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "data.csv", *tiny_corpus(60))
    test = write_csv(tmp_path / "test.csv", [tiny_corpus(1)[0][0], ""], ["billing", "repair"])
    kinds = {found.kind: found for found in check(data, ReadOptions(), test=test).findings}
    assert kinds["leaks_into_test"].figures["word_for_word"] == 1
    assert [(suspect.row, suspect.file) for suspect in kinds["unusable_rows"].suspects] == [(3, "test")]


def test_the_encoding_is_told_where_it_was_guessed(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("text,label\nгде моя посылка,a\nсколько это стоит,b\n".encode("cp1251") * 20)
    checkup = check(tmp_path / "data.csv", ReadOptions())
    assert checkup.examples.encoding == "cp1251"


def test_a_file_without_a_usable_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no row can be used"):
        check(write_csv(tmp_path / "data.csv", ["", ""], ["a", "b"]), ReadOptions())
