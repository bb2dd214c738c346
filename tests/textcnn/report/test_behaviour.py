from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from textcnn.report.behaviour import CHECKS, behaviour, misspell, negate, swap_name, without_punctuation


class Shouts:
    """Calls a text loud if it has a capital letter."""

    def predict(self, texts: Sequence[str]) -> list[str]:
        return ["loud" if text != text.lower() else "quiet" for text in texts]


def test_texts_that_a_check_cannot_change_do_not_count() -> None:
    found = {result["name"]: result for result in behaviour(Shouts(), ["a quiet word", "123"])}
    assert (found["upper case"]["texts"], found["upper case"]["kept"]) == (1, 0.0)
    assert found["upper case"]["examples"][0]["label_after"] == "loud"
    assert (found["lower case"]["texts"], found["lower case"]["kept"]) == (0, None)
    assert found["typo"]["kept"] == 1.0


def test_a_negation_shows_the_labels_that_stayed() -> None:
    found = {result["name"]: result for result in behaviour(Shouts(), ["it is fine"])}
    assert found["negation"]["examples"] == [
        {"before": "it is fine", "after": "it is not fine", "label_before": "quiet", "label_after": "quiet"}
    ]


@pytest.mark.parametrize("text", ["parcel", "где посылка", "a", "", "many words in here"])
def test_a_typo_keeps_the_letters(text: str) -> None:
    changed = misspell(text, random.Random(1))
    assert sorted(changed) == sorted(text)
    assert len(text) < 4 or changed != text or len(set(text)) < 4


def test_changes_are_what_they_say() -> None:
    choose = random.Random(0)
    assert without_punctuation("Well, it's (not) fine.", choose) == "Well it's not fine"
    assert swap_name("hello, Peter is here", choose).startswith("hello, ")
    assert "Peter" not in swap_name("hello, Peter is here", choose)
    assert swap_name("Peter is here", choose) == "Peter is here", "the first word is large anyway"
    assert negate("It was good and is cheap", choose) == "It was not good and is cheap"
    assert negate("it is not good", choose) == "it is not good"


def test_the_same_seed_gives_the_same_changes() -> None:
    texts = ["where is my parcel", "it is broken, Peter"]
    assert behaviour(Shouts(), texts) == behaviour(Shouts(), texts)
    assert len({check.name for check in CHECKS}) == len(CHECKS)
