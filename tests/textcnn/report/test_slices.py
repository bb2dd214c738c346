from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from textcnn.report.slices import by_columns, by_length


def test_lengths_are_cut_into_parts_of_about_equally_many_texts() -> None:
    lengths = np.arange(100)
    slices = by_length(lengths, lengths >= 50)
    assert [part["texts"] for part in slices] == pytest.approx([20] * 5, abs=2)
    assert (slices[0]["accuracy"], slices[-1]["accuracy"]) == (0.0, 1.0)
    assert slices[0]["name"].startswith("0 to ")


@pytest.mark.parametrize("lengths", [[5], [5, 5, 5], [1, 2], [0, 0, 9]])
def test_few_or_equal_lengths_are_one_part_or_two(lengths: list[int]) -> None:
    slices = by_length(np.array(lengths), np.ones(len(lengths), bool))
    assert sum(part["texts"] for part in slices) == len(lengths)


def test_columns_are_cut_by_value_or_by_range_and_free_text_is_left_out() -> None:
    right = np.arange(60) % 2 == 0
    table = pa.table(
        {
            "text": [f"text {i}" for i in range(60)],
            "shop": ["north", "south", None] * 20,
            "price": [float(i) for i in range(60)],
            "comment": [f"comment {i}" for i in range(60)],
            "same": ["x"] * 60,
            "tags": [[1]] * 60,
        }
    )
    slices = by_columns(table, right, without=["text"])
    assert list(slices) == ["shop", "price"]
    assert {part["name"] for part in slices["shop"]} == {"north", "south", "(none)"}
    assert sum(part["texts"] for part in slices["price"]) == 60


def test_columns_of_one_name_or_none_are_no_mistake() -> None:
    right = np.arange(60) % 2 == 0
    table = pa.Table.from_arrays([pa.array(["a", "b"] * 30)] * 4, names=["shop", "shop", "", " "])
    assert list(by_columns(table, right, without=[])) == ["shop"]
