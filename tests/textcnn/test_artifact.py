from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from textcnn import TextClassifier, artifact
from textcnn.artifact import (
    LAYOUT,
    check_place,
    find_version,
    model_versions,
    read_artifact,
    write_artifact,
)
from textcnn.errors import ArtifactError, SchemaVersionError
from textcnn.safetensors_file import tensors

FILES = [*LAYOUT.hashed, LAYOUT.manifest]


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A model of one's own to damage: models/tiny/1."""
    copy = tmp_path / "models" / "tiny" / "1"
    shutil.copytree(model_folder, copy)
    return copy


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / LAYOUT.manifest
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def fails(path: Path, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_artifact(path)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_survives_the_round_trip(folder: Path, classifier: TextClassifier) -> None:
    written, read = classifier.artifact_, read_artifact(folder)
    assert read.config == written.config
    assert read.labels == written.labels
    assert read.tokenizer.tokens == written.tokenizer.tokens
    assert read.metrics == written.metrics
    assert (read.name, read.version) == ("tiny", "1")
    assert set(read.weights) == set(written.weights)
    for name, value in written.weights.items():
        np.testing.assert_array_equal(read.weights[name], value)


def test_writing_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / "tiny" / "1"
    write_artifact(again, read_artifact(folder))
    for name in LAYOUT.hashed:
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_folder_holds_the_files_of_the_layout_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", LAYOUT.hashed)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    fails(folder, rf"{name} is missing; the model is incomplete")


@pytest.mark.parametrize("name", LAYOUT.hashed)
def test_a_truncated_file_is_named_with_both_sizes(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    fails(folder, rf"{name} has {len(content) - 1:,} bytes, the manifest says {len(content)}")


@pytest.mark.parametrize("name", LAYOUT.hashed)
def test_a_flipped_bit_is_found_and_its_file_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    fails(folder, rf"{name} is not the file that was saved")


@pytest.mark.parametrize("name", LAYOUT.hashed)
def test_a_link_in_place_of_a_file_is_refused(folder: Path, name: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / name
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    fails(folder, rf"{name} is a symbolic link")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "Expecting value"), (b"\xff", "can't decode"), (b"[]", "it holds list, expected a JSON object")],
)
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / LAYOUT.manifest).write_bytes(content)
    fails(folder, rf"manifest\.json cannot be read: .*{message}")


def test_a_folder_of_another_format_is_refused(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(format="somebody-elses"))
    fails(folder, r"manifest\.json has format 'somebody-elses', expected 'textcnn-model'")


def test_a_newer_schema_is_refused_by_name_and_version(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(schema=99, textcnn="9.9"))
    with pytest.raises(SchemaVersionError, match=r"written by textcnn 9\.9 with schema 99; .* knows schemas up to 1"):
        read_artifact(folder)


@pytest.mark.parametrize("schema", [None, "1", 0, 1.5])
def test_a_schema_that_never_was_is_refused(folder: Path, schema: object) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(schema=schema))
    fails(folder, "has schema")


def unlist(manifest: dict[str, Any]) -> None:
    del manifest["files"][LAYOUT.labels]


def list_another(manifest: dict[str, Any]) -> None:
    manifest["files"]["../../secret"] = {"size": 1, "sha256": ""}


def list_badly(manifest: dict[str, Any]) -> None:
    manifest["files"][LAYOUT.labels] = 5


@pytest.mark.parametrize("change", [unlist, list_another, list_badly, lambda m: m.update(files=[]), dict.clear])
def test_a_manifest_must_list_exactly_the_files(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit_manifest(folder, change)
    fails(folder, r"manifest\.json (does not list exactly|has format None)")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (LAYOUT.config, "1 fault in the configuration:.*train.sed: unknown setting"),
        (LAYOUT.weights, ""),
        (LAYOUT.labels, "not a label set"),
        (LAYOUT.tokenizer, "this is not a tokenizer.json"),
    ],
)
def test_a_file_that_is_as_saved_but_wrong_is_named(folder: Path, name: str, message: str) -> None:
    content = b'{"train": {"sed": 1}}'
    (folder / name).write_bytes(content)
    stated = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: stated}))
    fails(folder, f"(?s){name} cannot be read: {message}")


def safetensors_file(header: object, data: bytes = b"") -> memoryview:
    text = json.dumps(header).encode()
    return memoryview(len(text).to_bytes(8, "little") + text + data)


def test_arrays_are_those_that_were_saved_and_lie_in_the_file_itself() -> None:
    written = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.ones(3, np.float16),
        "count": np.array(7),
        "none": np.empty((0, 4), np.float32),
    }
    content = np.frombuffer(save(written, {"about": "ignored"}), np.uint8)
    read = tensors(memoryview(content))
    assert set(read) == set(written)
    for name, value in written.items():
        np.testing.assert_array_equal(read[name], value, strict=True)
    assert np.shares_memory(read["matrix"], content)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        5,
        {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0.0, 4.0]},
    ],
)
def test_an_array_that_is_not_in_the_file_is_refused(entry: object) -> None:
    with pytest.raises(ValueError, match="its tensor 'w' is not as a safetensors header states it"):
        tensors(safetensors_file({"w": entry}, bytes(4)))


@pytest.mark.parametrize("content", [b"", b"1234567", bytes(8), b"\xff" * 8, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_a_header_that_is_not_in_the_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="says that its header ends after"):
        tensors(memoryview(content))


def test_no_folder_an_empty_folder_and_a_file_are_told_apart(tmp_path: Path) -> None:
    fails(tmp_path / "none", "no such folder")
    fails(tmp_path, "found an empty folder")
    (tmp_path / "file.txt").write_text("x")
    fails(tmp_path / "file.txt", "found a file")
    fails(tmp_path, "found file.txt")
    fails(tmp_path / ("x" * 300), "File name too long")


def test_the_highest_version_is_found_by_number(folder: Path) -> None:
    for version in ("9", "10", "2"):
        shutil.copytree(folder, folder.parent / version)
    (folder.parent / "11").mkdir()  # not complete: it has no manifest
    assert find_version(folder.parent).name == "10"
    assert read_artifact(folder.parent).version == "10"


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("9", "10"),
        ("1.9", "1.10"),
        ("1", "1.1"),
        ("v2", "v10"),
        ("2", "v1"),
        ("1.0-rc1", "1.0-rc2"),
        ("2024-01-31", "2024-02-01"),
        ("3", "beta"),
        ("beta", "٣"),
    ],
)
def test_versions_are_compared_by_their_numbers(tmp_path: Path, lower: str, higher: str) -> None:
    for version in (higher, lower):
        (tmp_path / version).mkdir()
        (tmp_path / version / LAYOUT.manifest).touch()
    assert [folder.name for folder in model_versions(tmp_path)] == [lower, higher]
    assert model_versions(tmp_path / lower) == [tmp_path / lower]


def test_a_half_written_hidden_folder_is_no_version(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / ".99.half_written")
    assert find_version(folder.parent) == folder
    shutil.rmtree(folder)
    fails(folder.parent, "found an empty folder")


def test_the_folder_may_be_reached_by_a_link(folder: Path) -> None:
    (folder.parent / "latest").symlink_to(folder)
    assert read_artifact(folder.parent / "latest").version == "1"


def test_an_existing_model_is_kept_unless_it_may_be_replaced(folder: Path, classifier: TextClassifier) -> None:
    before = everything_in(folder.parent)
    with pytest.raises(ArtifactError, match="exists already; choose another version, or pass --overwrite"):
        write_artifact(folder, classifier.artifact_)
    assert everything_in(folder.parent) == before
    changed = dataclasses.replace(classifier.artifact_, metrics={"training_texts": 5})
    write_artifact(folder, changed, overwrite=True)
    assert read_artifact(folder).metrics == {"training_texts": 5}
    assert [path.name for path in folder.parent.iterdir()] == ["1"], "something was left behind"


def test_an_empty_folder_is_no_model_to_protect(tmp_path: Path, classifier: TextClassifier) -> None:
    (tmp_path / "1").mkdir()
    write_artifact(tmp_path / "1", classifier.artifact_)
    assert read_artifact(tmp_path / "1").version == "1"


def test_overwriting_never_removes_what_is_no_model(tmp_path: Path, classifier: TextClassifier) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="holds something else than a model"):
        write_artifact(tmp_path, classifier.artifact_, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("bug")])
@pytest.mark.parametrize("moment", ["_write_files", "_write", "model_card", "save_file"])
def test_a_failure_while_writing_leaves_everything_as_it_was(
    folder: Path, classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch,
    moment: str, failure: BaseException, overwrite: bool,
) -> None:  # fmt: skip
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise failure

    before = everything_in(folder.parent)
    monkeypatch.setattr(artifact, moment, fail)
    expected = ArtifactError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_artifact(folder if overwrite else folder.parent / "2", classifier.artifact_, overwrite=overwrite)
    assert everything_in(folder.parent) == before
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_model_that_cannot_be_replaced_comes_back(
    folder: Path, classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = everything_in(folder.parent), os.rename

    def fail_on_the_new_one(source: Path, target: Path) -> None:
        if Path(target) == folder and not Path(source).name.endswith(".old"):
            raise OSError(1, "Operation not permitted")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_on_the_new_one)
    with pytest.raises(ArtifactError, match="cannot write .*Operation not permitted"):
        write_artifact(folder, classifier.artifact_, overwrite=True)
    assert everything_in(folder.parent) == before


def test_a_place_that_cannot_hold_a_model_is_known_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="is a file; a model is a folder"):
        check_place(tmp_path / "file")
    with pytest.raises(ArtifactError, match="file is a file"):
        check_place(tmp_path / "file" / "models" / "1")
    with pytest.raises(ArtifactError, match="File name too long"):
        check_place(tmp_path / ("x" * 300) / "1")
    check_place(tmp_path / "models" / "new" / "1")
    assert not (tmp_path / "models").exists()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ArtifactError, match="is not writable"):
        check_place(tmp_path / "models" / "1")


def test_everybody_may_read_the_model(classifier: TextClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "m" / "1")
    for path in (tmp_path / "m" / "1", *(tmp_path / "m" / "1").iterdir()):
        assert path.stat().st_mode & 0o044 == 0o044, path
