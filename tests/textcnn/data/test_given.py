from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from textcnn.data.given import as_list, as_pair, as_strings
from textcnn.errors import DataError


@pytest.mark.parametrize("values", [["a", "b"], ("a", "b"), np.array(["a", "b"]), pa.array(["a", "b"]), iter("ab")])
def test_whatever_has_strings_in_an_order_is_taken(values: Any) -> None:
    assert as_strings(values, "text") == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("a text", "texts is one string; give a list of texts"),
        (5, "texts is 5 \\(int\\), expected a list of strings"),
        ({"text": ["a"]}, "texts is a dict, expected a list"),
        ({"a", "b"}, "texts is a set, expected a list"),
        (pa.table({"text": ["a"], "label": ["x"]}), "texts is a table .*; give one of its columns"),
        (SimpleNamespace(columns=["text"], shape=(2, 1)), "texts is a table .*; give one of its columns"),
        (np.array([["a"], ["b"]]), "texts has the shape 2 x 1, expected one dimension: texts.ravel\\(\\)"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_list(values, "text")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, "; give str\\(label\\) for each"),
        (np.int64(1), "; give str\\(label\\) for each"),
        (True, "; give str\\(label\\) for each"),
        (None, "; leave out rows without one"),
        (float("nan"), "; leave out rows without one"),
        (b"a", "$"),
    ],
)
def test_what_is_no_string_is_told_what_to_make_of_it(value: Any, hint: str) -> None:
    with pytest.raises(DataError, match=f"label 1 is .*expected a string{hint}"):
        as_strings(["a", value], "label")


def test_a_pair_is_texts_and_labels_and_nothing_else() -> None:
    assert as_pair(None) is None
    assert as_pair((["a"], ["x"])) == as_pair([["a"], ["x"]]) == (["a"], ["x"])
    for wrong in (0.2, True, "ab", ([], [], [])):
        with pytest.raises(DataError, match="expected \\(texts, labels\\).* data.validation_fraction"):
            as_pair(wrong)
