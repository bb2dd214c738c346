from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcnn.data.label_rows import LabelRows, check_pairs, pick_labels
from textcnn.data.labels import LabelSet
from textcnn.errors import DataError, LabelError

TASKS = {"coarse": ["x", "", "y", "x"], "fine": ["p", "q", "q", "r=s"]}


def test_labels_are_read_as_the_head_wants_them() -> None:
    assert LabelRows.read(["a", "b"], "single_label").rows == (("a",), ("b",))
    many = LabelRows.read(["a; b ;a", "", ["c"]], "multi_label", ";")
    assert (many.rows, many.many) == ((("a", "b"), (), ("c",)), True)
    tasks = LabelRows.read(TASKS, "multi_task")
    assert tasks.tasks == ("coarse", "fine")
    assert tasks.rows[1] == ("", "q")
    assert tasks.column("fine") == ["p", "q", "q", "r=s"]


def test_a_set_of_labels_has_the_same_order_in_every_process() -> None:
    labels = list("hgfedcba")
    assert LabelRows.read([frozenset(labels)], "multi_label").rows == (tuple(sorted(labels)),)


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


def test_there_is_one_label_a_text() -> None:
    check_pairs(2, 2)
    with pytest.raises(DataError, match="1,000 texts and 2 labels were given; there must be one label a text"):
        check_pairs(1000, 2)
    with pytest.raises(DataError, match="there are no texts, and no labels for them"):
        check_pairs(0, 0)


def test_one_label_a_text_becomes_its_index_and_several_a_row_of_zeros_and_ones() -> None:
    one = LabelRows.read(["b", "a", "b"], "single_label")
    np.testing.assert_array_equal(one.encode(one.label_set()), [1, 0, 1])
    several = LabelRows.read(["b", "", "a|b"], "multi_label")
    found = several.encode(several.label_set())
    np.testing.assert_array_equal(found, [[0, 1], [0, 0], [1, 1]])
    assert found.dtype == np.float32


def test_labels_stand_in_the_order_that_was_asked_for() -> None:
    rows = LabelRows.read(["low", "high", "low"], "ordinal")
    assert rows.label_set() == LabelSet(("high", "low"))
    ordered = rows.label_set(["low", "high"])
    assert (ordered.names, ordered.counts) == (("low", "high"), (2, 1))
    for order in (["low", "middle"], ["low"], ["low", "high", "low"]):
        with pytest.raises(LabelError, match="data.label_order is low.*, but the labels are high, low"):
            rows.label_set(order)


def test_a_split_is_stratified_by_all_labels_of_a_text() -> None:
    assert LabelRows.read(["a", "a|b", "b|a", ""], "multi_label").keys == ["a", "a\nb", "a\nb", ""]
    assert LabelRows.read({"t": ["x", "x"], "u": ["p", "q"]}, "multi_task").keys == ["x\np", "x\nq"]


def test_a_task_that_cannot_be_learned_is_named() -> None:
    LabelRows.read({"t": ["x", "y", "z", "z"], "u": ["p", "q", "p", "q"]}, "multi_task").check_trainable()
    with pytest.raises(LabelError, match="task 'u': training needs at least 2 different labels, found only 'p'"):
        LabelRows.read({"t": ["x", "y", "x", "y"], "u": ["p", "p", "", "p"]}, "multi_task").check_trainable()
    with pytest.raises(LabelError, match="^training needs"):
        LabelRows.read(["a", "a"], "single_label").check_trainable()
    assert LabelRows.read({"t": ["x", "y", ""], "u": ["p", "", ""]}, "multi_task").sizes() == {"t": 2, "u": 1}
