from __future__ import annotations

import codecs

import pytest

from service.plan import ModelPlan, is_name, read_plans, write_plans
from textcnn.errors import ArtifactError


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
    "content",
    [
        "",
        "[]",
        '{"m": {"aliases": {"live": "../1"}}}',
        '{"../m": {}}',
        '{"m": {"weights": {"1": -1}}}',
        '{"m": {"x": 1}}',
    ],
)
def test_a_file_that_cannot_be_used_says_so(tmp_path, content):
    (tmp_path / "serving.json").write_text(content)
    with pytest.raises(ArtifactError, match="serving.json cannot be used"):
        read_plans(tmp_path)


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
