from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn import TextClassifier
from textcnn.config import TextConfig
from textcnn.errors import DataError, LabelError
from textcnn.explain.counterfactual import Counterfactuals
from textcnn.fitted import Fitted
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Change, Floats

from .test_explainer import other_network

WORDS = ["good", "fine", "bad", "film", "the", "a", "very"]
TOKENIZER = Tokenizer.learn([" ".join(WORDS)], TextConfig())


def counting(texts: Sequence[str]) -> Floats:
    """Class 1 has a point for every "good", half a one for "fine"; class 0 for every "bad", and 0.25 to begin with."""
    points = [(0.25 + text.count("bad"), text.count("good") + 0.5 * text.count("fine")) for text in texts]
    scores = np.exp(np.array(points, np.float32).reshape(-1, 2))
    return scores / scores.sum(axis=1, keepdims=True)


def find(text: str, **options: Any) -> Any:
    return Counterfactuals(counting, TOKENIZER, ("negative", "positive")).find(text, **options)


def test_a_word_less_is_preferred_to_another_word() -> None:
    found = find("the film , a good film")
    assert (found.before, found.label) == ("positive", "negative")
    assert found.text == "the film , a film"
    assert found.changes == (Change(13, 17, "good", ""),)
    assert found.minimal
    assert found.probability == pytest.approx(float(counting([found.text])[0, 0]))


def test_where_no_word_less_is_enough_a_word_is_put_in_that_speaks_for_the_other_label() -> None:
    found = find("the film")
    assert (found.before, found.label, len(found.changes)) == ("negative", "positive", 1)
    assert found.changes[0].new == "good"


def test_several_changes_are_made_where_one_is_not_enough() -> None:
    found = find("good very good good")
    assert found.label == "negative"
    assert len(found.changes) == 2
    assert found.minimal
    assert find("good very good good", most_changes=1) is None


def test_changes_that_turn_out_not_to_be_needed_are_taken_back() -> None:
    found = find("fine good bad the a a the bad")
    assert len(found.changes) == 1


def test_without_a_way_there_is_no_answer() -> None:
    assert find("") is None
    assert find("the film", target=0) is None


def test_a_label_may_be_asked_for_and_every_answer_holds(classifier: TextClassifier) -> None:
    texts = ["where is my parcel", "error 14, the screen stays dark", "", "zyzzyva", "my invoice \ud800"]
    for label in (None, *classifier.labels):
        found = classifier.counterfactuals(texts, labels=label)
        for text, before, one in zip(texts, classifier.predict(texts), found, strict=True):
            if one is None:
                assert not text or before == label
                continue
            assert (one.before, one.label) == (before, classifier.predict([one.text])[0])
            assert one.label != before and one.label == (label or one.label)
            assert all(text[change.start : change.end] == change.old for change in one.changes)
            # two changes where one would do are no answer
            assert len(one.changes) <= 5


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([*WORDS, "good", "bad", "!", "\u00e9"]), max_size=8).map(" ".join))
def test_no_single_change_flips_where_two_are_told(text: str) -> None:
    found = find(text)
    if found is None or len(found.changes) < 2:
        return
    before = counting([text])[0].argmax()
    words = text.split(" ")
    single = [
        " ".join([*words[:i], *new, *words[i + 1 :]]) for i in range(len(words)) for new in ([], *([w] for w in WORDS))
    ]
    assert (counting(single).argmax(1) == before).all()


def test_mistakes_are_told(classifier: TextClassifier) -> None:
    with pytest.raises(LabelError, match="'repairs'"):
        classifier.counterfactuals(["a"], labels="repairs")
    several = TextClassifier()
    several._model = Fitted(other_network(head={"type": "multi_label"}))
    with pytest.raises(DataError, match="a counterfactual is for models that give one label to a text"):
        several.counterfactuals(["a"])
    with pytest.raises(ValueError, match="most_changes is 0"):
        classifier.counterfactuals(["a"], most_changes=0)
