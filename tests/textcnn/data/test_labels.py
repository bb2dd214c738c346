from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.data.labels import LabelSet, check_trainable, once
from textcnn.errors import LabelError


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["pos", "neg", "pos"], ("neg", "pos")),
        (["10", "9", "-1", "2.5"], ("-1", "2.5", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["1", "01", "1.0"], ("01", "1", "1.0")),
        (["b", "B", "я", "é"], ("B", "b", "é", "я")),
        ([], ()),
    ],
)
def test_labels_are_sorted_and_numbers_by_value(labels: list[str], names: tuple[str, ...]) -> None:
    assert LabelSet.from_labels(labels).names == names


def test_several_labels_in_one_string_are_guessed() -> None:
    with pytest.raises(LabelError, match=r"joined by '\|': --label-separator '\|'"):
        check_trainable(["a", "a", "b", "b", "a|b", "b|c|d"])
    with pytest.raises(LabelError, match=r"or remove them$"):
        check_trainable(["a", "b", "c", "a|b"])


def test_labels_are_counted() -> None:
    labels = LabelSet.from_labels(["b", "a", "b"])
    assert (labels.counts, len(labels)) == ((1, 2), 2)
    assert labels == LabelSet(("a", "b"))


@settings(deadline=None)
@given(st.lists(st.text(max_size=5)))
def test_encode_decode_and_json_round_trip(labels: list[str]) -> None:
    label_set = LabelSet.from_labels(labels)
    indices = label_set.encode(labels)
    assert indices.dtype == np.int64
    assert label_set.decode(indices) == labels
    again = LabelSet.from_json(label_set.to_json())
    assert (again, again.counts) == (label_set, label_set.counts)


def test_unknown_labels_are_named_with_the_nearest() -> None:
    labels = LabelSet(("negative", "positive"))
    with pytest.raises(LabelError) as error:
        labels.encode(["positive", "positve", "other"])
    assert "'positve'; did you mean 'positive'?" in str(error.value)
    assert "'other'" in str(error.value)
    assert "Known are 'negative', 'positive'" in str(error.value)


def test_at_most_ten_unknown_labels_are_shown() -> None:
    with pytest.raises(LabelError, match="and 5 more"):
        LabelSet(("a",)).encode([f"label {n:02}" for n in range(15)])


def test_names_of_integers_are_known_as_such() -> None:
    names = LabelSet(("-1", "10"), (2, 3), integers=True)
    assert LabelSet.from_json(names.to_json()).integers
    assert "integers" not in LabelSet(("-1", "10")).to_json()


@pytest.mark.parametrize(
    "text", ['{"names": ["a"], "counts": [], "integers": true}', "", "[]", "{}", '{"names": 1, "counts": []}']
)
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(LabelError, match="not a label set"):
        LabelSet.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"names": ["a", "a"], "counts": []}',
        '{"names": [1], "counts": []}',
        '{"names": ["a"], "counts": [1, 2]}',
        '{"names": ["a"], "counts": ["1"]}',
    ],
)
def test_json_of_an_inconsistent_set_is_refused(text: str) -> None:
    with pytest.raises(LabelError, match="not a label set; expected different strings"):
        LabelSet.from_json(text)


def test_two_labels_with_two_rows_can_be_trained() -> None:
    check_trainable(["a", "b", "a", "b"])
    check_trainable([str(n % 60) for n in range(120)])


@pytest.mark.parametrize(
    "rare", [["c"], ["c", "a|b"], ["food, drink", "arts, crafts"], [f"rare {n}" for n in range(20)]]
)
def test_a_few_labels_with_one_row_are_no_reason_to_stop(rare: list[str]) -> None:
    labels = ["a", "b"] * 10 + rare
    check_trainable(labels)
    assert once(Counter(labels)) == sorted(rare)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], ["at least 2 different labels", "found none"]),
        (["a", "a"], ["at least 2 different labels", "only 'a'"]),
        (["a", "a", "b", "c", "d"], ["3 of 4 labels have only one row", "'b', 'c', 'd'", "Add rows"]),
        (
            [f"a long text {n}" for n in range(100)],
            ["100 different labels", "is that the text column", "--label-column"],
        ),
        ([str(n) for n in range(20)], ["only one row", "and 10 more"]),
    ],
)
def test_labels_that_cannot_be_trained_say_why(labels: list[str], words: list[str]) -> None:
    with pytest.raises(LabelError) as error:
        check_trainable(labels)
    for word in words:
        assert word in str(error.value)
