from __future__ import annotations

import asyncio
import codecs
import os
import stat

import pytest

from service.plan import LOCK, ModelPlan, is_name, locked_plans, read_plans, write_plans
from textcnn.errors import ArtifactError

from ..patience import PATIENCE


def test_what_was_written_is_read(tmp_path):
    plans = {"m": ModelPlan(aliases={"live": "2", "previous": "1"}, weights={"2": 9, "1": 1}, shadow="3")}
    write_plans(tmp_path, plans)
    assert read_plans(tmp_path) == plans
    assert [path.name for path in tmp_path.iterdir()] == ["serving.json"]
    assert plans["m"].versions == ["2", "1", "3"]


def test_a_file_as_windows_editors_write_it_is_the_same(tmp_path):
    write_plans(tmp_path, plans := {"m": ModelPlan(aliases={"live": "2"})})
    file = tmp_path / "serving.json"
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_plans(tmp_path) == plans


def test_no_file_is_no_plan(tmp_path):
    assert read_plans(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("", "the document"),
        ("[]", "the document"),
        ('{"m": {"aliases": {"live": "../1"}}}', "m.aliases.live"),
        ('{"../m": {}}', "../m"),
        ('{"m": {"weights": {"1": -1}}}', "m.weights.1"),
        ('{"m": {"x": 1}}', "m.x"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path, content, where):
    (tmp_path / "serving.json").write_text(content)
    with pytest.raises(ArtifactError, match=f"serving.json cannot be used: {where}[.:]"):
        read_plans(tmp_path)


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    os.mkfifo(tmp_path / "serving.json")
    with pytest.raises(ArtifactError, match=r"cannot read .*serving.json: it is no regular file"):
        read_plans(tmp_path)
    (tmp_path / "serving.json").unlink()
    (tmp_path / "serving.json").mkdir()
    with pytest.raises(ArtifactError, match=r"cannot read .*serving.json: Is a directory"):
        read_plans(tmp_path)


def test_what_is_written_is_on_the_disk_before_it_counts_and_for_every_process_to_read(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    write_plans(tmp_path, {"m": ModelPlan(aliases={"live": "2"})})
    status = (tmp_path / "serving.json").stat()
    assert synced == [status.st_size]
    assert stat.S_IMODE(status.st_mode) == 0o644


def test_what_cannot_be_written_leaves_all_as_it_was(tmp_path, monkeypatch):
    write_plans(tmp_path, plans := {"m": ModelPlan(aliases={"live": "2"})})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"cannot write .*serving.json: No space left on device"):
        write_plans(tmp_path, {})
    assert read_plans(tmp_path) == plans
    assert [path.name for path in tmp_path.iterdir()] == ["serving.json"]


@pytest.mark.anyio
async def test_one_at_a_time_may_change_the_plans(tmp_path):
    entered = []

    async def enter(name: str) -> None:
        async with locked_plans(tmp_path):
            entered.append(name)

    async with locked_plans(tmp_path):
        waiting = asyncio.ensure_future(enter("other"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert entered == []
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert entered == ["other"]


@pytest.mark.anyio
async def test_a_folder_where_no_plan_can_be_changed_is_told(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(ArtifactError, match=r"cannot write .*serving.json.lock: Is a directory"):
        async with locked_plans(tmp_path):
            pass
    (tmp_path / LOCK).rmdir()
    os.mkfifo(tmp_path / LOCK)  # nothing on the event loop may wait for somebody to read it
    with pytest.raises(ArtifactError, match=r"cannot write .*serving.json.lock: No such device or address"):
        async with locked_plans(tmp_path):
            pass


def test_versions_that_are_gone_are_left_out_of_a_plan():
    plan = ModelPlan(aliases={"live": "1", "old": "9"}, weights={"1": 0, "2": 1, "9": 1}, shadow="2")
    left = plan.only(["1", "2", "3"])
    assert left == ModelPlan(aliases={"live": "1"}, weights={"1": 0, "2": 1}, shadow="2")
    assert left.versions == ["1", "2"]
    alone = plan.only(["1"])
    assert alone == ModelPlan(aliases={"live": "1"}), "weights of which none counts share nothing out"
    assert alone.versions == ["1"]


def test_the_first_version_that_is_activated_has_none_before_it():
    assert ModelPlan().activated("1").aliases == {"live": "1"}


def test_activating_keeps_the_one_before_and_ends_a_comparison():
    plan = ModelPlan(aliases={"live": "1", "stable": "1"}, weights={"1": 1, "2": 1}).activated("2")
    assert plan.aliases == {"live": "2", "previous": "1", "stable": "1"}
    assert plan.weights == {}
    assert plan.activated("2") == plan


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".hidden", "../x", "..\\x", "a/b", "a\\b", "a b", "a\n", "a%2e", "é", "a;b", "a#b", "x" * 65,
        "%2e%2e%2fetc", "-x", "~", "$HOME", "http://evil",
    ],
)  # fmt: skip
def test_names_are_never_paths(name):
    assert not is_name(name)


@pytest.mark.parametrize("name", ["1", "support", "v1.2-rc_3", "x" * 64])
def test_names_are_letters_digits_and_a_few_signs(name):
    assert is_name(name)
