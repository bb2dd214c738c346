from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier

from ...conftest import tiny_corpus, write_csv
from .conftest import Run


def test_figures_are_printed_for_people(run: Run, here: Path, model_folder: Path) -> None:
    ran = run("evaluate", model_folder, "test.csv")
    assert ran.code == 0
    assert ran.err == "test.csv: 30 rows; text from 'text', label from 'label', utf-8\n"
    lines = ran.out.splitlines()
    assert lines[0].startswith("accuracy 100.00%, macro F1 100.00%, log loss 0.")
    assert lines[0].endswith(" on 30 texts")
    assert lines[1].startswith("with so many texts the accuracy is known to lie between 88.")
    assert "Matthews correlation 1.000" in lines[2]
    assert [line.split()[0] for line in lines[4:]] == ["label", "billing", "delivery", "repair"]


def test_json_is_one_object_with_the_figures_of_python(run: Run, here: Path, model_folder: Path) -> None:
    figures = json.loads(run("evaluate", model_folder.parent, "test.csv", "--json").out)
    assert (figures.pop("model"), figures.pop("version")) == ("tiny", "1")
    assert figures == TextClassifier.load(model_folder).evaluate(*tiny_corpus(30, seed=1))


def test_figures_on_the_very_file_of_the_training_are_told_to_be_worth_little(run: Run, here: Path) -> None:
    tiny = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.max_epochs=1", "--quiet"]
    write_csv(Path("v.csv"), *tiny_corpus(30, seed=2))
    assert run("train", "train.csv", "--validation", "v.csv", "--test", "test.csv", *tiny).code == 0
    Path("train.csv").rename("renamed.csv")
    for command in (["evaluate"], ["report", "--no-check", "--overwrite"], ["calibrate", "--overwrite"]):
        said = [run(*command, "models/train/1", file).err for file in ("renamed.csv", "v.csv", "test.csv")]
        assert "the model was trained on this very file: the figures say how well it remembers" in said[0]
        assert "the best epoch of the model was chosen on this very file" in said[1]
        assert "this very file" not in said[2]
    assert "the model was calibrated on this very file" in run("evaluate", "models/train/4", "test.csv").err
    assert "trained on this very file" in run("evaluate", "models/train/4", "renamed.csv").err


def test_two_models_are_compared_on_the_same_texts(run: Run, here: Path, model_folder: Path) -> None:
    figures = json.loads(run("evaluate", model_folder, "test.csv", "--against", model_folder, "--json").out)
    assert (figures["against"]["difference"], figures["against"]["p_value"]) == (0.0, 1.0)
    ran = run("evaluate", model_folder, "test.csv", "--against", model_folder)
    assert "tiny/1 against tiny/1: +0.00 points" in ran.out
    assert "no more than chance may explain" in ran.out


def test_unknown_labels_count_as_wrong_and_are_told(run: Run, here: Path, model_folder: Path) -> None:
    write_csv(here / "odd.csv", ["my invoice", "snow", "rain"], ["billing", "weather", "weather"])
    ran = run("evaluate", model_folder, "odd.csv")
    assert ran.out.startswith("accuracy 33.33%")
    assert "2 rows have a label that the model does not know" in ran.err


def test_json_stays_valid_where_no_label_is_known(run: Run, here: Path, model_folder: Path) -> None:
    write_csv(here / "odd.csv", ["snow", "rain"], ["weather", "weather"])
    figures = json.loads(run("evaluate", model_folder, "odd.csv", "--json").out, parse_constant=pytest.fail)
    assert (figures["accuracy"], figures["loss"], figures["unknown_labels"]) == (0.0, None, 2)
    assert "log loss" not in run("evaluate", model_folder, "odd.csv").out


def test_smaller_tables_are_compared_with_exact_ones(run: Run, here: Path, model_folder: Path) -> None:
    ran = run("evaluate", model_folder, "test.csv", "--engine", "ngram_table", "--table-precision", "int8")
    assert "accuracy with float32 tables 100.00%" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models/none", "test.csv"], "there is no model at models/none: no such folder"),
        (["test.csv", "test.csv"], "there is no model at test.csv"),
        ([".", "test.csv"], "expected manifest.json, or a folder for each version with one; found test.csv, train.csv"),
        (["MODEL", "none.csv"], "none.csv: there is no such file"),
        (["MODEL", "test.csv", "--label-column", "lbl"], "there is no column 'lbl'; did you mean 'label'?"),
        (["MODEL", "test.csv", "--engine", "ngram"], "unknown engine 'ngram'; did you mean 'ngram_table'?"),
        (["MODEL", "test.csv", "--device", "gpu"], "'gpu' is no device"),
        (["MODEL", "test.csv", "--table-budget", "much"], "'much' is no size"),
    ],
)
def test_a_mistake_is_told(mistake: Any, here: Path, model_folder: Path, arguments: list[str], message: str) -> None:
    assert message in mistake("evaluate", *(model_folder if part == "MODEL" else part for part in arguments))


def test_what_two_models_say_differently_is_written_with_what_got_worse_first(
    run: Run, here: Path, model_folder: Path
) -> None:
    texts, labels = tiny_corpus(60, seed=5)
    other = {"billing": "repair", "repair": "delivery", "delivery": "billing"}
    write_csv(Path("turned.csv"), *tiny_corpus(90)[:1], [other[label] for label in tiny_corpus(90)[1]])
    tiny = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.batch_size=8", "train.learning_rate=0.02"]
    assert run("train", "turned.csv", *tiny, "train.max_epochs=6", "--quiet").code == 0
    given = [other[label] if i < 20 else other[other[label]] if i < 30 else label for i, label in enumerate(labels)]
    write_csv(Path("t.csv"), texts, given)
    ask = ["evaluate", "models/turned", "t.csv", "--changed", "changed.csv"]
    ran = run(*ask, "--against", model_folder)
    assert "60 texts get another label (30 worse, 20 better, 10 wrong before and after): changed.csv" in ran.err
    with open("changed.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["change"] for row in rows] == ["worse"] * 30 + ["better"] * 20 + ["wrong before and after"] * 10
    first = rows[0]
    assert (first["row"], first["label"], first["against_label"]) == ("32", given[30], labels[30])
    assert (first["model_label"], first["text"]) == (other[labels[30]], texts[30])
    assert 0 < float(first["model_probability"]) <= 1 and 0 < float(first["against_probability"]) <= 1
    assert "changed.csv exists already" in run(*ask, "--against", model_folder).err
    assert "name it with --against" in run(*ask, "--overwrite").err
