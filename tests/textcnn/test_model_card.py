from __future__ import annotations

from typing import Any

import pytest

from textcnn import TextClassifier
from textcnn.build import resolve
from textcnn.config import RunConfig
from textcnn.model_card import model_card


def card(config: RunConfig | None = None, metrics: Any = None, labels: tuple[str, ...] = ("yes", "no")) -> str:
    return model_card("tiny/1", config or resolve({}), metrics or {}, labels=labels, vocabulary=1234, abstains=False)


def test_the_card_tells_what_a_person_should_know(classifier: TextClassifier) -> None:
    found = card(classifier.artifact_.config, classifier.metrics_, classifier.labels)
    for part in ("# tiny/1", "- `delivery`", "| validation |", "kim_conv", "textcnn predict . ", "81 texts", "1,234"):
        assert part in found


def test_what_was_not_measured_is_not_said() -> None:
    assert "Not evaluated." in card()
    assert "Its probabilities are" not in card()


def test_n_grams_beside_the_network_are_told() -> None:
    metrics = {"wide": {"ngrams": 12345}}
    assert "- beside the network: a linear classifier on 12,345 n-grams of up to 3 tokens" in card(metrics=metrics)
    assert "beside" not in card(resolve({}, preset="kim_rand"), metrics)


def test_members_are_told_with_the_epoch_of_each() -> None:
    config = resolve({"train": {"members": 3}})
    metrics = {"members": [{"best_epoch": best} for best in (4, 2, 5)], "history": [{}] * 17}
    found = card(config, metrics)
    assert "- members: 3 such networks, trained apart, whose mean answers; here they are one network" in found
    assert "17 epochs in all, best of each member: 4, 2, 5" in found
    assert "members" not in card()


def test_an_encoder_says_what_it_is_for() -> None:
    found = card(labels=())
    assert "An encoder, pre-trained by textcnn on texts without labels" in found
    assert "textcnn train DATA --start-from ." in found
    assert "textcnn predict" not in found


@pytest.mark.parametrize(
    ("end", "words"), [("head", "the first 9"), ("tail", "the last 9"), ("both", "half from each")]
)
def test_the_card_says_which_end_of_a_long_text_is_used(end: str, words: str) -> None:
    assert words in card(resolve({"text": {"truncation": end, "max_length": 9}}))


def test_texts_that_are_read_together_are_told_and_asked_together() -> None:
    found = card(resolve({"text": {"segments": "columns"}, "model": {"join": {"texts": 2}}}))
    assert "- reads 2 texts together, each by itself, joined by compare" in found
    assert 'textcnn predict . "a text" "a text"  ' in found
    found = card(resolve({"text": {"segments": "sentences"}}))
    assert "- reads sentences (en), each by itself, joined by document" in found
