from __future__ import annotations

import json
from pathlib import Path

import pytest

from textcnn.data.feedback import Said, feedback_files, read_feedback, with_feedback
from textcnn.data.readers import ReadOptions
from textcnn.errors import ColumnError, ReadError

KNOWN = {"a", "b"}


def test_what_was_said_last_of_a_text_counts() -> None:
    found = with_feedback(["x"], ["a"], [Said("y", "b", "2026-02"), Said("y", "a", "2026-01")], KNOWN)
    assert (found.texts, found.labels) == (["x", "y"], ["a", "b"])
    assert (found.added, found.corrected, found.confirmed) == (1, 0, 0)


def test_texts_that_are_there_get_the_label_that_was_said_and_are_counted() -> None:
    said = [Said(" x", "b"), Said("y", "a"), Said("z", "b")]
    found = with_feedback(["x", "y ", "x\n", "w"], ["a", "a", "b", "b"], said, KNOWN)
    assert (found.texts, found.labels) == (["x", "y ", "x\n", "w", "z"], ["b", "a", "b", "b", "b"])
    assert (found.added, found.corrected, found.confirmed) == (1, 1, 1)


def test_nobody_can_make_a_label_by_feedback() -> None:
    said = [Said("x", "c"), Said("y", "a|c"), Said("z", "a | b"), Said("v", "")]
    found = with_feedback([], [], said, KNOWN, separator="|")
    assert dict(zip(found.texts, found.labels, strict=True)) == {"z": "a | b", "v": ""}
    assert found.unknown == {"c": 2}
    assert with_feedback([], [], said[1:2], {"a|c"}).texts == ["y"], "one label, without a separator"


def test_the_files_of_a_folder_are_read_with_their_times_and_models(tmp_path: Path) -> None:
    rows = [{"time": "2026-01", "key": None, "text": "x", "label": "a"}, {"text": "y", "label": "b", "model": "m"}]
    (tmp_path / "2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "1.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (tmp_path / "notes.txt").write_text("nothing")
    first, second = feedback_files(tmp_path)
    assert (first.name, second.name) == ("1.jsonl", "2.jsonl")
    assert read_feedback(second, ReadOptions()) == [Said("x", "a", "2026-01"), Said("y", "b", model="m")]


def test_texts_that_were_read_together_are_put_together_again(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"text_1": "x", "text_2": "y", "label": "a"}) + "\n")
    (said,) = read_feedback(path, ReadOptions(apart=True), texts=2)
    assert said.text.split("\n") != ["x", "y"] and said.text[0] == "x" and said.text[-1] == "y"
    with pytest.raises(ColumnError, match="no column 'text'"):
        read_feedback(path, ReadOptions())


def test_a_folder_without_feedback_says_how_it_comes_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="textcnn serve --feedback"):
        feedback_files(tmp_path)
