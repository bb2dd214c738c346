from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textcnn import TextClassifier

from ...conftest import write_csv
from .conftest import Run

TEXT = "Hello, I ordered the lamp. Since monday the screen stays dark! Can you help? It makes a loud noise. Thanks."


def test_json_lines_hold_the_sentences_and_how_long_the_text_was(run: Run, model_folder: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "mails.csv", [TEXT, "my parcel"], ["", ""])
    ran = run("summarize", model_folder, "--input", table, "--sentences", 2)
    summaries = TextClassifier.load(model_folder).summarize([TEXT, "my parcel"], sentences=2)
    expected = [{**s.to_dict(), "characters": n} for s, n in zip(summaries, (len(TEXT), 9), strict=True)]
    assert [json.loads(line) for line in ran.out.splitlines()] == json.loads(json.dumps(expected))


def test_for_people_each_sentence_has_a_line(run: Run, model_folder: Path) -> None:
    ran = run("summarize", model_folder, "--no-json", "--sentences", 2, TEXT + " \x1b[2J")
    first, *sentences = ran.out.rstrip("\n").splitlines()
    assert first.startswith("repair  ") and "2 of 6 sentences, alone " in first
    assert [line.split(maxsplit=1)[1] for line in sentences] == [
        "Since monday the screen stays dark!", "It makes a loud noise.",
    ]  # fmt: skip


def test_another_label_may_be_asked_for(run: Run, model_folder: Path) -> None:
    (line,) = run("summarize", model_folder, "--label", "billing", "--share", "0.3", TEXT).out.splitlines()
    assert json.loads(line)["label"] == "billing"


def test_mistakes_are_told(mistake: Any, model_folder: Path) -> None:
    assert "did you mean 'repair'" in mistake("summarize", model_folder, "a", "--label", "repairs")
    assert "--share" in mistake("summarize", model_folder, "a", "--share", "0")
    assert "--share" in mistake("summarize", model_folder, "a", "--share", "nan")
    assert "expected its ISO 639-1 code" in mistake("summarize", model_folder, "a", "--language", "German")
