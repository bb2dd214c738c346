"""Pairs of texts and documents from the command line: train, predict, evaluate, explain, summarize, report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from ...conftest import tiny_corpus
from .conftest import Run

TEXTS, TOPICS = tiny_corpus(60)
TINY = ["model.embedding.dim=8", "model.blocks.0.num_filters=4", "train.max_epochs=3", "train.learning_rate=0.02"]
ASK, ANSWER = "where is my parcel", 'it is "here", look'


@pytest.fixture
def pairs(here: Path) -> Path:
    """One text of a row may be empty; row 3 has none at all."""
    with open(here / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "question", "answer", "label"])
        for row, (text, topic) in enumerate(zip(TEXTS, TOPICS, strict=True)):
            answer = "" if row % 7 == 3 else " ".join(reversed(text.split()))
            writer.writerow([row, text.replace(" ", "\x1f", row == 5), answer, topic])
    return here / "pairs.csv"


@pytest.fixture
def model(run: Run, pairs: Path) -> str:
    columns = ("--text-column", "question", "--text-column", "answer")
    trained = run("train", pairs, "--preset", "two_towers", *columns, *TINY, "--output", "models/pairs/1")
    assert trained.code == 0 and "text from 'question' and 'answer'" in trained.err
    return "models/pairs"


def test_two_columns_are_compared_and_found_again_in_other_files(run: Run, model: str, pairs: Path) -> None:
    config = json.loads(Path(model, "1", "config.json").read_text())
    assert config["model"]["join"] == {"type": "compare", "texts": 2}
    assert config["data"]["text_columns"] == ["question", "answer"]
    assert "Compare" in run("inspect", model).out
    answers = [json.loads(line) for line in run("predict", model, "--input", pairs, "--keep", "id").out.splitlines()]
    assert len(answers) == 60
    assert answers[0]["text"] == [TEXTS[0], " ".join(reversed(TEXTS[0].split()))] and answers[0]["id"] == "0"
    assert answers[3]["text"][1] == "" and "\x1f" not in answers[5]["text"][0]
    assert run("evaluate", model, pairs).out.startswith("accuracy ")
    assert run("report", model, pairs, "--no-check").code == 0
    assert "\\u001f" not in Path("report.html").read_text()
    assert run("check", pairs).code in (0, 1)


def test_answers_stand_in_tables_too(run: Run, model: str, pairs: Path) -> None:
    for name in ("out.csv", "out.parquet"):
        assert run("predict", model, "--input", pairs, "--output", name).code == 0
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert json.loads(rows[3]["text"]) == [TEXTS[3], ""]
    assert pyarrow.parquet.read_table("out.parquet").column("text")[3].as_py() == rows[3]["text"]


def test_arguments_and_lines_make_records(run: Run, model: str) -> None:
    told = run("predict", model, ASK, ANSWER, ANSWER, ASK).out.splitlines()
    assert [json.loads(line)["text"] for line in told] == [[ASK, ANSWER], [ANSWER, ASK]]
    lines = run("predict", model, stdin=f"{ASK}\t{ANSWER}\r\n\t\n".encode()).out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == [[ASK, ANSWER], ["", ""]]
    assert lines[0] == told[0]
    ran = run("predict", model, stdin=b"a\tb\nc\nd\te\n")
    assert ran.code == 2 and len(ran.out.splitlines()) == 1, "what came before is answered"
    assert "standard input: line 2 has one text, expected 2 with a tab between each two" in ran.err
    assert "the model reads 2 texts together, and 3 cannot be divided so" in run("predict", model, "a", "b", "c").err


def test_evidence_says_which_text_it_is_in(run: Run, model: str) -> None:
    shown = run("explain", model, "--no-json", "--top-n", "20", ASK, ANSWER).out
    assert shown.startswith(f"{ASK}\n{ANSWER}\n")
    assert " 1: parcel" in shown and " 2: here" in shown
    explanation = json.loads(run("explain", model, ASK, ANSWER).out)
    assert explanation["text"] == [ASK, ANSWER]
    for ngram in explanation["ngrams"]:
        assert explanation["text"][ngram["segment"]][ngram["start"] : ngram["end"]] == ngram["text"]
    assert "a summary is of one text" in run("summarize", model, ASK, ANSWER).err
    assert "a counterfactual is of one text" in run("explain", model, "--counterfactual", ASK, ANSWER).err


def test_every_head_writes_records(run: Run, pairs: Path) -> None:
    columns = ("--text-column", "question", "--text-column", "answer")
    run("train", pairs, "--preset", "two_towers", "--label-separator", ";", *columns, *TINY, "--output", "models/m/1")
    assert json.loads(run("predict", "models/m", ASK, ANSWER).out)["text"] == [ASK, ANSWER]
    run("predict", "models/m", ASK, ANSWER, "--output", "out.csv")
    with open("out.csv", newline="") as file:
        assert json.loads(next(csv.DictReader(file))["text"]) == [ASK, ANSWER]


def test_columns_that_are_not_named_are_asked_for(run: Run, pairs: Path) -> None:
    err = run("train", pairs, "--preset", "two_towers", *TINY).err
    assert "only 'question' is known to hold any; name them with --text-column, once for each" in err
    assert "'id', 'question', 'answer', 'label'" in err
    err = run("train", pairs, "--preset", "two_towers", "--text-column", "answer", *TINY).err
    assert "data.text_columns has 'answer' alone: --text-column NAME, once for each" in err
    assert not Path("models").exists()


def test_a_row_without_any_text_is_a_bad_row(run: Run, here: Path) -> None:
    (here / "bad.csv").write_text("a,b,label\nx,y,1\n, ,2\nz,,1\n")
    err = run("train", "bad.csv", "--preset", "two_towers", "--text-column", "a", "--text-column", "b", *TINY).err
    assert "row 3: the text is empty" in err and "row 4" not in err


def test_a_document_is_read_sentence_by_sentence(run: Run, here: Path) -> None:
    with open("documents.csv", "w", newline="") as file:
        rows = [(f"Hello there. {text} Bye!", topic) for text, topic in zip(TEXTS, TOPICS, strict=True)]
        csv.writer(file).writerows([("text", "label"), *rows])
    assert run("train", "documents.csv", "--preset", "document", *TINY, "--output", "models/d/1").code == 0
    assert "Document" in run("inspect", "models/d").out
    assert json.loads(run("predict", "models/d", rows[0][0]).out)["text"] == rows[0][0]
    summary = json.loads(run("summarize", "models/d", rows[0][0], "--sentences", "1").out)
    assert len(summary["sentences"]) == 1 and summary["total"] >= 2
    explanation = json.loads(run("explain", "models/d", rows[0][0]).out)
    assert explanation["method"] == "occlusion" and "segment" not in explanation["ngrams"][0]
    assert (
        "pre-training reads whole texts"
        in run("pretrain", "documents.csv", "--preset", "document", "--output", "e").err
    )
