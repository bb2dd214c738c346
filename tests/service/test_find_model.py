from __future__ import annotations

import pytest

from service.find_model import find_models
from textcnn.errors import ArtifactError


def find_model(models, model):
    (path,) = find_models(models, [model] if model else []).values()
    return path


def test_every_name_is_found_by_its_numerically_highest_version(make_model, tmp_path):
    for path in ("b/1", "a/9", "a/10", "a/2", "c/v2", "c/v1"):
        make_model(path)
    assert find_models(tmp_path) == {name: tmp_path / name / version for name, version in
                                     (("a", "10"), ("b", "1"), ("c", "v2"))}  # fmt: skip


def test_several_are_found_in_the_order_in_which_they_are_asked_for(make_model, tmp_path):
    for path in ("a/1", "b/1", "b/2"):
        make_model(path)
    assert list(find_models(tmp_path, ["b/1", "a"])) == ["b", "a"]


def test_two_versions_of_one_model_are_refused_instead_of_one_being_lost(make_model, tmp_path):
    make_model("a/1")
    make_model("a/2")
    with pytest.raises(ArtifactError, match=r"two versions of model 'a'.*a/1 and .*a/2"):
        find_models(tmp_path, ["a/1", "a/2"])


def test_a_model_is_found_by_name_by_name_and_version_and_by_path(make_model, tmp_path):
    first, second = make_model("models/a/1"), make_model("models/a/2")
    elsewhere = make_model("elsewhere/7")
    models = tmp_path / "models"
    assert find_model(models, "a") == second
    assert find_model(models, "a/1") == first
    assert find_model(models, str(elsewhere)) == elsewhere
    assert find_model(models, str(elsewhere.parent)) == elsewhere


@pytest.mark.parametrize(("folder", "asked"), [("a/1", "."), ("a", "1"), ("a", "."), ("a/1", "../../a"), ("a/1", "..")])
def test_a_relative_path_has_a_name_and_a_version_too(make_model, monkeypatch, tmp_path, folder, asked):
    make_model("a/1")
    monkeypatch.chdir(tmp_path / folder)
    assert find_models(tmp_path / "models", [asked]) == {"a": tmp_path / "a" / "1"}


def test_a_link_goes_by_its_own_name(make_model, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "current").symlink_to(make_model("elsewhere/7"))
    assert find_models(tmp_path, ["a"]) == {"a": tmp_path / "a" / "current"}


def test_a_version_that_is_not_complete_is_passed_over(make_model, tmp_path):
    make_model("a/1")
    make_model("a/.2.being_written")
    make_model(".b/1")
    (tmp_path / "a" / "2").mkdir()
    assert find_model(tmp_path, "").name == "1"


@pytest.mark.parametrize("model", ["", "a", "a/1"])
def test_no_model_at_all_says_where_it_looked(tmp_path, model):
    with pytest.raises(ArtifactError, match="looked for") as caught:
        find_model(tmp_path / "models", model)
    assert str(tmp_path / "models") in str(caught.value)


def test_an_unknown_name_is_answered_with_the_known_ones_and_the_nearest(make_model, tmp_path):
    make_model("support/1")
    make_model("trec/2")
    with pytest.raises(ArtifactError, match=r"'suport'.* support/1, trec/2\. Did you mean 'support'\?"):
        find_model(tmp_path, "suport")


def test_a_name_that_is_like_no_other_is_answered_with_the_known_ones_alone(make_model, tmp_path):
    make_model("support/1")
    with pytest.raises(ArtifactError, match=r"has support/1$"):
        find_model(tmp_path, "zzz")


def test_a_file_beside_the_models_is_passed_over(make_model, tmp_path):
    make_model("a/1")
    (tmp_path / "serving.json").write_text("{}")
    assert list(find_models(tmp_path)) == ["a"]


def test_a_models_folder_that_is_a_file_holds_no_model(tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(ArtifactError, match="no model found"):
        find_model(tmp_path / "models", "")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(ArtifactError, match=f"{tmp_path}: Permission denied"):
        find_model(tmp_path, "")
