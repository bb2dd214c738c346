"""Behavioural checks (Ribeiro et al. 2020): small changes of a text that should, or should not, change its label."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from textcnn.types import TEXT_BREAK, join_texts, split_texts

SHOWN = 5
CHARACTERS = 1000
_WORD = re.compile(r"\w{4,}")
_CAPITALIZED = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")
_VERB = re.compile(
    r"\b(is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b(?! not|n't)", re.IGNORECASE
)
_NAMES = ("Maria", "Ahmed", "Chen", "Olga", "Kwame", "Lucia", "Priya", "Jonas")

Change = Callable[[str, random.Random], str]


class Predicts(Protocol):
    def predict(self, texts: Sequence[str]) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Check:
    """`change` gives the text itself where it has nothing to change. `keeps`: the label should stay as it is."""

    name: str
    about: str
    change: Change
    keeps: bool = True


def misspell(text: str, choose: random.Random) -> str:
    """Two neighbouring letters of one word swapped, its first and last in their places."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = choose.choice(words)
    at = choose.randrange(word.start() + 1, word.end() - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def without_punctuation(text: str, choose: random.Random) -> str:
    return " ".join(re.sub(r"[^\w\s'’]", " ", text).split())


def swap_name(text: str, choose: random.Random) -> str:
    """A capitalised word within a sentence becomes a first name of another part of the world."""
    names = list(_CAPITALIZED.finditer(text))
    if not names:
        return text
    name = choose.choice(names)
    return text[: name.start()] + choose.choice(_NAMES) + text[name.end() :]


def negate(text: str, choose: random.Random) -> str:
    """ "not" behind the first auxiliary verb."""
    return _VERB.sub(r"\1 not", text, count=1)


CHECKS = (
    Check("typo", "two letters of a word swapped", misspell),
    Check("upper case", "all letters large", lambda text, choose: text.upper()),
    Check("lower case", "all letters small", lambda text, choose: text.lower()),
    Check("no punctuation", "without commas, full stops, question marks", without_punctuation),
    Check("end mark", "an exclamation mark at the end", lambda text, choose: f"{text.rstrip(' .!?')}!"),
    Check("name", "another name in place of a capitalised word", swap_name),
    Check(
        "negation", "not behind the first is, was, can ...; changes the meaning, not always the topic", negate, False
    ),
)


def behaviour(
    model: Predicts, texts: Sequence[str], *, tell: Callable[[float], None] = lambda share: None
) -> list[dict[str, Any]]:
    """Of each check how many texts it could change, the share that keeps its label, and examples of the others.

    `keeps` says whether keeping the label is what one wants; where not, the examples are of kept labels. `tell` gets
    the share that is done, 0 to 1.
    """
    before = model.predict(texts)
    results: list[dict[str, Any]] = []
    for check in CHECKS:
        tell((len(results) + 1) / (len(CHECKS) + 1))
        choose = random.Random(check.name)
        changed = [join_texts([check.change(part, choose) for part in split_texts(text)]) for text in texts]
        places = [i for i, (old, new) in enumerate(zip(texts, changed, strict=True)) if old != new]
        after = model.predict([changed[i] for i in places])
        kept = [before[i] == label for i, label in zip(places, after, strict=True)]
        striking = [k for k, same in enumerate(kept) if same != check.keeps][:SHOWN]
        results.append(
            {
                "name": check.name,
                "about": check.about,
                "keeps": check.keeps,
                "texts": len(places),
                "kept": sum(kept) / len(kept) if kept else None,
                "examples": [
                    {
                        "before": _beginning(texts[places[k]]),
                        "after": _beginning(changed[places[k]]),
                        "label_before": before[places[k]],
                        "label_after": after[k],
                    }
                    for k in striking
                ],
            }
        )
    return results


def _beginning(text: str) -> str:
    shown = text.replace(TEXT_BREAK, "\n")
    return shown if len(shown) <= CHARACTERS else shown[: CHARACTERS - 1] + "…"
