from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


def test_the_page_and_the_same_as_json_are_written(run: Run, here: Path, model_folder: Path) -> None:
    ran = run("report", model_folder, "test.csv", "--json", "figures.json")
    assert ran.code == 0
    assert ran.out.startswith("accuracy 100.0% (")
    assert ran.err.endswith("wrote report.html and figures.json\n")
    figures = json.loads(Path("figures.json").read_text())
    assert (figures["model"], figures["rows"]) == ("tiny", 30)
    assert Path("report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("there", ["report.html", "figures.json"])
def test_what_is_there_is_written_over_only_when_asked(
    run: Run, mistake: Any, here: Path, model_folder: Path, there: str
) -> None:
    Path(there).write_text("mine")
    command = ["report", model_folder, "test.csv", "--json", "figures.json", "--no-check"]
    assert f"{there} exists already" in mistake(*command)
    assert Path(there).read_text() == "mine"
    assert run(*command, "--overwrite").code == 0
    assert Path(there).read_text() != "mine"


def test_the_data_may_be_left_unchecked(run: Run, here: Path, model_folder: Path) -> None:
    run("report", model_folder, "test.csv", "--json", "figures.json", "--no-check", "--output", "a.html")
    assert json.loads(Path("figures.json").read_text())["data"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "test.csv"], "there is no model at none"),
        (["MODEL", "none.csv"], "there is no such file"),
        (["MODEL", "test.csv", "--output", "no/such/report.html"], "cannot write no/such/report.html"),
    ],
)
def test_a_mistake_is_told(mistake: Any, here: Path, model_folder: Path, arguments: list[str], message: str) -> None:
    assert message in mistake("report", *(model_folder if part == "MODEL" else part for part in arguments))


def test_several_tasks_are_reported_one_by_one(run: Run, here: Path) -> None:
    Path("tasks.csv").write_text("text,coarse,fine\n" + "parcel,x,u\nlamp,y,v\nlamp,y,\n" * 20)
    command = "train tasks.csv --task-column coarse --task-column fine --quiet --output models/tasks/1"
    small = "model.embedding.dim=8 model.blocks.0.num_filters=4 train.max_epochs=1"
    assert run(*command.split(), *small.split()).code == 0
    ran = run("report", "models/tasks/1", "tasks.csv", "--json", "figures.json")
    assert ran.code == 0
    assert [line.split(" accuracy")[0] for line in ran.out.splitlines()] == ["coarse:", "fine:"]
    figures = json.loads(Path("figures.json").read_text())
    assert {task: own["figures"]["texts"] for task, own in figures["tasks"].items()} == {"coarse": 60, "fine": 40}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["--output", "test.csv"], "test.csv is read, so it is not written"),
        (["--output", "./test.csv", "--overwrite"], "test.csv is read, so it is not written"),
        (["--json", "test.csv", "--overwrite"], "test.csv is read, so it is not written"),
        (["--output", "a", "--json", "./a", "--overwrite"], "a is named twice"),
    ],
)
def test_the_data_and_the_other_output_are_never_written_over(
    mistake: Any, here: Path, model_folder: Path, outputs: list[str], message: str
) -> None:
    before = Path("test.csv").read_bytes()
    assert message in mistake("report", model_folder, "test.csv", *outputs)
    assert Path("test.csv").read_bytes() == before
    assert not Path("a").exists()


def test_a_missing_column_of_labels_names_both_options(mistake: Any, here: Path, run: Run) -> None:
    small = "model.embedding.dim=8 model.blocks.0.num_filters=4 train.max_epochs=1 --quiet --output models/m/1"
    assert run("train", "train.csv", *small.split()).code == 0
    Path("bare.csv").write_text("text\nhello\n")
    told = mistake("report", "models/m/1", "bare.csv")
    assert "trained on 'text' with labels in 'label'; --text-column and --label-column name others" in told


def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    mistake: Any, here: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != here)
    said = mistake("report", model_folder, "test.csv")
    assert said == "textcnn: cannot write report.html: no permission to write in .\n"
