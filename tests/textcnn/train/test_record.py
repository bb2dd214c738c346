from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from textcnn import TextClassifier
from textcnn.config import RunConfig
from textcnn.errors import ArtifactError
from textcnn.train.record import RECORD, alone, git_revision, read_records, recorded

from ...conftest import tiny_corpus


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data.csv").write_text("text,label\n")
    return tmp_path / "data.csv"


def test_a_run_is_there_when_it_begins_and_complete_when_it_ends(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "reviews" / "1"
    with recorded(folder, config=RunConfig(), files={"data": data, "test": None}) as record:
        (begun,) = read_records(tmp_path / "runs")
        assert begun["status"] == "unfinished"
        record.end("done", metrics={"accuracy": 0.5})
    (ended,) = read_records(tmp_path / "runs")
    assert (ended["name"], ended["status"], ended["metrics"]) == ("reviews/1", "done", {"accuracy": 0.5})
    assert ended["files"]["data"]["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert ended["config"] == RunConfig().model_dump(mode="json")
    assert set(ended["environment"]["packages"]) >= {"textcnn", "torch"}
    assert sorted(path.name for path in folder.iterdir()) == [RECORD]


def test_a_run_from_python_is_recorded_with_the_data_in_memory(tmp_path: Path, classifier: TextClassifier) -> None:
    texts, labels = tiny_corpus()
    for version, given in (("1", labels), ("2", labels), ("3", [*labels[1:], labels[0]])):
        with recorded(tmp_path / "mine" / version, config={"train": {}}, data={"data": (texts, given)}) as record:
            record.end_with(classifier)
    one, two, three = read_records(tmp_path)
    assert (one["name"], one["status"], one["metrics"]) == ("mine/1", "done", dict(classifier.metrics_))
    assert one["config"] == classifier.artifact_.config.model_dump(mode="json")
    assert one["data"] == two["data"] != three["data"]


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with alone(tmp_path):
        with pytest.raises(ArtifactError, match="another training is under way"), alone(tmp_path):
            pass
        with alone(tmp_path.parent):
            pass
    with alone(tmp_path):
        pass


def test_what_raises_has_failed(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError), recorded(tmp_path / "runs" / "a" / "1", config=RunConfig(), files={"data": data}):
        raise ValueError("out of luck")
    (record,) = read_records(tmp_path / "runs")
    assert (record["status"], record["error"]) == ("failed", "out of luck")


def test_the_git_revision_is_that_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision() is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *arguments], check=True)
    found = git_revision()
    assert found is not None
    assert (len(found["revision"]), found["changed"]) == (40, False)


ODD = json.dumps({"name": "e/1", "status": "done", "started": 5, "config": [], "files": []})


def test_files_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    for name, content in {"a": "{", "b": "[]", "c": "{}", "d": json.dumps({"name": "d/1"}), "e": ODD}.items():
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / RECORD).write_text(content)
    assert read_records(tmp_path) == []
