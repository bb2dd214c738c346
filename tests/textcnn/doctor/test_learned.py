from __future__ import annotations

import numpy as np
import pytest

from textcnn.doctor.learned import TIMES, _bayes_linear, _judged, doubts_of, mislabelled, shortcuts
from textcnn.doctor.table import APART, Table
from textcnn.types import Bools, Exact

from ...conftest import tiny_corpus


def quiet(share: float) -> None:
    assert 0 <= share <= 1


def test_flipped_labels_are_found() -> None:
    texts, labels = tiny_corpus(600)
    flipped = list(range(0, 600, 30))
    wrong = [{"billing": "repair", "repair": "delivery", "delivery": "billing"}[x] for x in labels]
    given = [wrong[i] if i in flipped else label for i, label in enumerate(labels)]
    (finding,) = mislabelled(Table(texts, given, np.arange(600)), quiet)
    named = [suspect.row for suspect in finding.suspects]
    assert len(set(named) & set(flipped)) >= 0.75 * len(flipped)
    assert len(set(named) - set(flipped)) <= 2
    assert all(suspect.suggestion == labels[suspect.row] for suspect in finding.suspects if suspect.row in flipped)


def test_right_labels_are_left_alone() -> None:
    texts, labels = tiny_corpus(300)
    assert not list(mislabelled(Table(texts, labels, np.arange(300)), quiet))


def test_no_row_is_named_where_nothing_was_learned() -> None:
    """Of texts that say nothing, models that hold rows out foretell the label that the row has not: it was left out."""
    texts, labels = [f"{i * 3.5}" for i in range(60)], [str(i % 3) for i in range(60)]
    assert not list(mislabelled(Table(texts, labels, np.arange(60)), quiet))


def test_what_is_told_of_a_row_is_what_it_is_named_for() -> None:
    texts, labels = tiny_corpus(600)
    wrong = {"billing": "repair", "repair": "delivery", "delivery": "billing"}
    given = [wrong[label] if i % 5 == 0 else label for i, label in enumerate(labels)]
    (finding,) = mislabelled(Table(texts, given, np.arange(600)), quiet)
    odds = [float(suspect.detail.split("(")[1].split(" to ")[0].replace(",", "")) for suspect in finding.suspects]
    assert min(odds) >= TIMES


def test_a_row_is_not_vouched_for_by_its_copy() -> None:
    """Two copies of a text with the same wrong label: in two folds, each would make the other look right."""
    texts, labels = tiny_corpus(300)
    texts, labels = [*texts, texts[0], texts[0]], [*labels, "repair", "repair"]
    data = Table(texts, labels, np.arange(302))
    doubts = doubts_of(data, np.array([sorted(set(labels)).index(label) for label in labels]), quiet)
    assert doubts.ratio[300] == doubts.ratio[301] > TIMES


def test_flipped_labels_are_found_where_many_are() -> None:
    """A fifth, each label for one and the same other: models then know to expect it, and must not excuse it."""
    texts, labels = tiny_corpus(600)
    wrong = {"billing": "repair", "repair": "delivery", "delivery": "billing"}
    given = [wrong[label] if i % 5 == 0 else label for i, label in enumerate(labels)]
    (finding,) = mislabelled(Table(texts, given, np.arange(600)), quiet)
    named = {suspect.row for suspect in finding.suspects}
    assert len(named & set(range(0, 600, 5))) >= 0.5 * 120
    assert len(named - set(range(0, 600, 5))) <= 6


def test_what_was_doubted_once_is_learned_from_no_more_but_a_hard_label_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    sure = np.log(np.array([[0.98, 0.02]] * 10))

    def together(logs: object, targets: object, fold_of: object, trusted: Bools) -> Exact:
        asked.append(np.flatnonzero(~trusted).tolist())
        return np.exp(sure)

    monkeypatch.setattr("textcnn.doctor.learned._together", together)
    fold_of = np.arange(10) % 2
    _judged([([sure], fold_of)], np.array([0] * 5 + [1] * 5))  # the second label is never foretold
    assert asked == [[]]
    sure[:4] = sure[:4, ::-1]
    asked.clear()
    _judged([([sure], fold_of)], np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]))
    assert asked == [[], [4]]


def test_many_labels_and_long_data_take_quicker_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = tiny_corpus(300)
    given = ["repair", *labels[1:]]
    assert labels[0] != "repair"
    for name in ("MOST_CLOSELY", "CLOSELY_LABELS", "CLOSELY", "MOST_WEIGHED", "LARGE"):
        monkeypatch.setattr(f"textcnn.doctor.learned.{name}", 0)
        (finding,) = mislabelled(Table(texts, given, np.arange(300)), quiet)
        assert finding.suspects[0].row == 0


def test_progress_never_goes_back() -> None:
    told: list[float] = []
    texts, labels = tiny_corpus(60)
    list(mislabelled(Table(texts, labels, np.arange(60)), told.append))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_small_and_odd_data_do_no_harm() -> None:
    for labels in (["a"], ["a", "b"], ["a", "a", "b", "b"], ["a"] * 20 + ["b"] * 2):
        list(mislabelled(Table([f"text {i}" for i in range(len(labels))], labels, np.arange(len(labels))), quiet))
    same = Table(["same"] * 10, ["a", "b"] * 5, np.arange(10))
    list(mislabelled(same, quiet))
    list(mislabelled(Table(["\u200b"] * 10, ["a", "b"] * 5, np.arange(10)), quiet))


def test_a_word_that_only_one_label_has_is_a_shortcut() -> None:
    texts, labels = tiny_corpus(90)
    marked = [f"{text} ref7" if label == "billing" else text for text, label in zip(texts, labels, strict=True)]
    (finding,) = shortcuts(Table(marked, labels, np.arange(90)))
    assert finding.level == "warning"
    assert finding.figures["words"][0] == {"word": "ref7", "label": "billing", "of_the_word": 1.0, "of_the_label": 1.0}


def test_the_words_of_a_label_that_nearly_all_texts_have_are_no_shortcuts() -> None:
    texts, _ = tiny_corpus(400)
    labels = ["common"] * 396 + ["rare"] * 4
    assert (
        list(shortcuts(Table([f"always {text}" for text in texts[:396]] + texts[396:], labels, np.arange(400)))) == []
    )


@pytest.mark.parametrize("labels", [2, 3])
def test_words_weighed_by_naive_bayes_tell_topics_apart(labels: int) -> None:
    texts, names = tiny_corpus(200)
    targets = np.unique(names, return_inverse=True)[1]
    kept = np.flatnonzero(targets < labels)
    table = Table([texts[i] for i in kept], [names[i] for i in kept], kept)
    learn, ask = np.arange(len(kept)) % 5 < 3, np.arange(len(kept)) % 5 >= 3
    features = table.words_and_pairs
    found = _bayes_linear(features[learn], targets[kept][learn], features[ask])
    assert found.shape == (ask.sum(), labels)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found.argmax(axis=1) == targets[kept][ask]).mean() > 0.9


def test_pairs_of_words_are_counted_as_far_as_they_may_stand_apart() -> None:
    """By hand: one text of twelve different words."""
    counts = Table([" ".join("abcdefghijkl")], ["x"], np.arange(1)).distant_pairs
    pairs = sum(12 - distance for distance in range(1, APART + 1))
    assert counts.sum() == 12 + pairs + 2
    assert counts.nnz == counts.sum()


def test_a_label_with_one_row_does_not_keep_flipped_labels_from_being_found() -> None:
    texts, labels = tiny_corpus(300)
    given = ["repair" if i == 0 else label for i, label in enumerate(labels)]
    assert labels[0] != "repair"
    table = Table([*texts, "a horse"], [*given, "horse"], np.arange(301))
    (finding,) = mislabelled(table, quiet)
    assert [suspect.row for suspect in finding.suspects] == [0]
