from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcnn.types import LabelScore, Prediction, TokenBatch

TEXTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6)


def lists(batch: TokenBatch) -> list[list[int]]:
    return [text.tolist() for text in batch]


@given(TEXTS)
def test_texts_survive_being_laid_end_to_end(texts: list[list[int]]) -> None:
    batch = TokenBatch.from_lists(texts)
    assert lists(batch) == texts
    assert len(batch) == len(texts)
    assert batch.lengths.tolist() == [len(text) for text in texts]
    assert (batch.values.dtype, batch.offsets.dtype) == (np.int32, np.int64)


@given(TEXTS, st.data())
def test_texts_are_taken_in_any_order_and_as_often_as_wanted(texts: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1))) if texts else []
    batch = TokenBatch.from_lists(texts).take(chosen)
    assert lists(batch) == [texts[index] for index in chosen]
    assert batch.values.dtype == np.int32


@given(st.lists(TEXTS, max_size=4))
def test_batches_join_in_order(parts: list[list[list[int]]]) -> None:
    batch = TokenBatch.concatenate(TokenBatch.from_lists(part) for part in parts)
    assert lists(batch) == [text for part in parts for text in part]


def test_a_prediction_is_its_best_label_and_frozen() -> None:
    prediction = Prediction((LabelScore("a", 0.75), LabelScore("b", 0.25)))
    assert (prediction.label, prediction.probability) == ("a", 0.75)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.top = ()
