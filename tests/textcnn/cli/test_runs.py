from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

TINY = ["model.embedding.dim=8", "model.blocks.0.num_filters=4", "train.max_epochs=1", "--quiet"]


@pytest.fixture
def two_runs(run: Run, here: Path) -> Path:
    """train/1 with a test file, train/2 with more filters."""
    assert run("train", "train.csv", *TINY, "--test", "test.csv").code == 0
    assert run("train", "train.csv", *TINY, "model.blocks.0.num_filters=6").code == 0
    return here


def test_runs_are_listed_with_their_figures(run: Run, two_runs: Path) -> None:
    head, first, second = run("runs").out.splitlines()
    assert head.split() == ["run", "started", "(UTC)", "status", "seconds", "validation", "test", "data"]
    assert first.startswith("train/1")
    assert first.endswith("%  train.csv")
    assert second.split()[-2:] == ["-", "train.csv"]
    records = json.loads(run("runs", "--json").out)
    assert [record["status"] for record in records] == ["done", "done"]
    assert records[0]["metrics"]["test"]["texts"] == 30
    assert records[0]["config"]["train"]["learning_rate"] > 0, "settings that depend on others are written out"


def test_two_runs_are_compared_by_what_differs(run: Run, two_runs: Path) -> None:
    lines = {line.split("  ")[0]: line.split() for line in run("runs", "train/1", "train/2").out.splitlines()}
    assert lines["model.blocks.0.num_filters"][-2:] == ["4", "6"]
    assert "model.embedding.dim" not in lines
    assert lines["validation accuracy"][-1].endswith("%")


def test_one_run_shows_its_settings(run: Run, two_runs: Path) -> None:
    out = run("runs", "train/2").out
    assert json.loads(out[out.index("{") :])["model"]["blocks"][0]["num_filters"] == 6


def test_runs_are_recorded_where_one_says(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("train", "train.csv", *TINY, "--runs", "elsewhere").code == 0
    assert not Path("runs").exists()
    monkeypatch.setenv("TEXTCNN_RUNS", str(here / "elsewhere"))
    assert run("train", "train.csv", *TINY).code == 0
    assert [record["name"] for record in json.loads(run("runs", "--json").out)] == ["train/1", "train/2"]


def test_a_run_that_fails_says_why(run: Run, here: Path) -> None:
    assert run("train", "train.csv", *TINY, "train.class_weights={nothing = 1}").code == 2
    (record,) = json.loads(run("runs", "--json").out)
    assert record["status"] == "failed"
    assert "there is no label 'nothing'" in record["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--runs", "none"], "there is no folder none"), (["train/9"], "there is no run 'train/9' in runs")],
)
def test_a_mistake_is_told(mistake: Any, here: Path, arguments: list[str], message: str) -> None:
    Path("runs").mkdir()
    assert message in mistake("runs", *arguments)


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b'{"name": "odd/1", "status": "done"}',
        b'{"name": "odd/1", "status": "done", "started": "", "config": {}, "files": {"data": {}}}',
        b'{"name": "odd/1", "status": "done", "started": "", "config": {}, "files": {}, "environment": 5}',
    ],
)
def test_what_is_no_record_is_told_and_hides_no_other(run: Run, two_runs: Path, broken: bytes) -> None:
    folder = Path("runs/odd/1")
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(broken)
    for arguments in ([], ["train/1", "train/2"]):
        ran = run("runs", *arguments)
        assert ran.code == 0
        assert "runs/odd/1/run.json is no record of a run" in ran.err
        assert "train/2" in ran.out


def test_figures_that_are_no_numbers_are_left_out_and_copies_have_their_own_names(run: Run, two_runs: Path) -> None:
    record = json.loads(Path("runs/train/1/run.json").read_text())
    folder = Path("runs/train/copy")
    folder.mkdir()
    facts = {"metrics": {"validation": {"accuracy": "good"}}, "git": None, "seconds": None}
    (folder / "run.json").write_text(json.dumps({**record, **facts}))
    ran = run("runs", "train/1", "train/copy")
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == ["train/1", "train/copy"]
