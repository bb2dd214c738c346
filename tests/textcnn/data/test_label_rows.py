from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcnn.data.label_rows import LabelRows, pick_labels
from textcnn.errors import DataError

TASKS = {"coarse": ["x", "", "y", "x"], "fine": ["p", "q", "q", "r=s"]}


def test_labels_are_read_as_the_head_wants_them() -> None:
    assert LabelRows.read(["a", "b"], "single_label").rows == (("a",), ("b",))
    many = LabelRows.read(["a; b ;a", "", ["c"]], "multi_label", ";")
    assert (many.rows, many.many) == ((("a", "b"), (), ("c",)), True)
    tasks = LabelRows.read(TASKS, "multi_task")
    assert tasks.tasks == ("coarse", "fine")
    assert tasks.rows[1] == ("", "q")
    assert tasks.column("fine") == ["p", "q", "q", "r=s"]


def test_labels_of_tasks_are_numbered_by_task_and_missing_ones_are_minus_one() -> None:
    tasks = LabelRows.read(TASKS, "multi_task")
    names = tasks.label_set()
    assert names.names == ("coarse=x", "coarse=y", "fine=p", "fine=q", "fine=r=s")
    np.testing.assert_array_equal(tasks.encode(names), [[0, 0], [-1, 1], [1, 1], [0, 2]])


@pytest.mark.parametrize(
    ("labels", "head", "message"),
    [
        (["a"], "multi_task", "needs the labels as a mapping"),
        ({}, "multi_task", "needs the labels as a mapping"),
        ({"a": ["x"], "b": []}, "multi_task", r"every task needs one label a text .*, found a 1, b 0"),
        ({"a=b": ["x"]}, "multi_task", "the name of task 'a=b' has '=' in it, .*; rename it"),
        (TASKS, "single_label", "needs a list of labels, found dict"),
        (["a", 3], "single_label", r"label 1 is 3 \(int\)"),
    ],
)
def test_labels_of_another_form_are_refused(labels: Any, head: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelRows.read(labels, head)


def test_some_rows_keep_their_form() -> None:
    assert pick_labels(TASKS, [3, 0]) == {"coarse": ["x", "x"], "fine": ["r=s", "p"]}
    assert pick_labels(["a", "b"], [1]) == ["b"]
    rows = LabelRows.read(TASKS, "multi_task")
    assert rows.take([3, 0]).rows == (rows.rows[3], rows.rows[0])
