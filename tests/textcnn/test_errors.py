from __future__ import annotations

import sys

import pytest

from textcnn.errors import MissingExtraError, needs_extra


def test_a_missing_package_is_told_by_the_name_that_pip_knows_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    told = r"a figure needs scikit-learn, .*: pip install 'textcnn\[train\]'"
    with pytest.raises(MissingExtraError, match=told), needs_extra("a figure", "train"):
        __import__("sklearn.metrics")


def test_a_missing_module_of_ours_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needs_extra("a figure", "train"):
        __import__("textcnn.there_is_no_such_module")
