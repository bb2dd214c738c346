from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import pytest

from textcnn.doctor.duplicates import duplicates, leaks, near_duplicates
from textcnn.doctor.findings import Finding
from textcnn.doctor.table import Table
from textcnn.types import Offsets, TokenBatch


def table(*rows: tuple[str, str]) -> Table:
    return Table([text for text, _ in rows], [label for _, label in rows], np.arange(len(rows)) + 2)


def found(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings}


def test_texts_that_differ_in_case_and_punctuation_only_are_repetitions() -> None:
    repeated = found(duplicates(table(("Fine!", "a"), ("bad", "b"), ("fine", "a"), ("FINE .", "a"))))["duplicates"]
    assert [(suspect.row, suspect.detail) for suspect in repeated.suspects] == [
        (4, "the same as row 2"),
        (5, "the same as row 2"),
    ]


def test_texts_of_punctuation_alone_are_not_the_same() -> None:
    assert not found(duplicates(table((":)", "a"), (":(", "b"))))


def test_texts_that_differ_in_an_emoji_are_not_the_same() -> None:
    assert not found(duplicates(table(("Great 😀", "a"), ("great 😡", "b"), ("great →", "a"), ("great", "b"))))


def test_the_same_text_with_different_labels_is_a_problem_and_the_majority_is_suggested() -> None:
    conflict = found(duplicates(table(("fine", "a"), ("fine", "a"), ("Fine", "b"), ("so so", "a"), ("so so", "b"))))
    suspects = conflict["conflicting_labels"].suspects
    assert [(suspect.row, suspect.suggestion) for suspect in suspects] == [(2, ""), (3, ""), (4, "a"), (5, ""), (6, "")]
    assert conflict["conflicting_labels"].figures == {"rows": 5, "texts": 2}


def test_folds_leak_what_stands_in_several_of_them() -> None:
    rows = [(f"text {i}", "a") for i in range(90)] + [("again", "a")] * 10
    assert found(duplicates(table(*rows)))["leaks_between_folds"].figures["in_order"] == 0.0, "all ten in the last fold"
    spread = [row for i in range(10) for row in (*rows[i * 9 : i * 9 + 9], ("again", "a"))]
    figures = found(duplicates(table(*spread)))["leaks_between_folds"].figures
    assert figures["in_order"] == 0.1
    assert 0.0999 < figures["at_random"] < 0.1


def test_test_texts_that_stand_in_the_data_are_counted_both_ways() -> None:
    data = table(("one two", "a"), ("three", "b"))
    leak = found(leaks(data, table(("one two", "a"), ("Three!", "a"), ("four", "a"))))["leaks_into_test"]
    assert leak.figures == {"word_for_word": 1, "cleaned": 2, "texts": 3}
    assert [suspect.row for suspect in leak.suspects] == [2, 3]
    assert leak.suspects[1].detail.endswith("labelled 'b' there")
    assert not found(leaks(data, table(("four", "a"))))


def test_nearly_equal_texts_are_found_among_many_others() -> None:
    choose = random.Random(0)
    words = [f"word{i}" for i in range(500)]
    texts = [" ".join(choose.choices(words, k=20)) for _ in range(300)]
    texts += [f"{text} indeed" for text in texts[:20]]
    near = found(near_duplicates(Table(texts, ["a"] * 320, np.arange(320) + 2)))["near_duplicates"]
    assert [suspect.row for suspect in near.suspects] == list(range(302, 322))
    assert near.suspects[0].detail == "nearly the same as row 2"
    first, other = (f"{text[:59]}…" for text in (texts[0], texts[300]))
    assert near.message == f"20 rows are nearly the same as another, such as {first!r} and {other!r}"


def test_texts_that_share_half_of_their_words_are_not_nearly_equal() -> None:
    assert not found(near_duplicates(table(("a b c d e f g h", "x"), ("a b c d i j k l", "x"), ("m n", "x"))))
    assert not found(near_duplicates(table(("one", "x"))))


def test_the_work_for_near_duplicates_does_not_grow_with_the_square_of_the_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def lengths(batch: TokenBatch) -> Offsets:
        asked.append(len(batch))
        return np.diff(batch.offsets)

    monkeypatch.setattr(TokenBatch, "lengths", property(lengths))
    data = table(*((f"this is text number {i}", "a") for i in range(100)))
    list(near_duplicates(data))
    assert sum(asked) <= 10 * len(data)
