from __future__ import annotations

import re

import numpy as np
import pytest

from textcnn.doctor.labels import joined_by, label_findings, labels_of_test, likely_slips, spelling_variants
from textcnn.doctor.table import Table


def table(labels: list[str]) -> Table:
    return Table([f"text {i}" for i in range(len(labels))], labels, np.arange(len(labels)) + 2)


@pytest.mark.parametrize(
    ("counts", "variants"),
    [
        ({"positive": 90, "Positive": 3, "negative": 80}, {"Positive": "positive"}),
        ({"very good": 50, "very_good": 5, "Very-Good": 1}, {"very_good": "very good", "Very-Good": "very good"}),
        ({"+": 10, "-": 10}, {}),
        ({"-1": 10, "1": 20, "+1": 3}, {}),
        ({"1.0": 5, "1": 20, "10": 3, "1.5": 4, "15": 2}, {"1.0": "1"}),
        ({"C": 5, "C++": 20, "C#": 3, "F#": 1}, {}),
        ({"week 1.2": 5, "week 12": 20, "2024-01-11": 1, "2024-1-111": 1}, {}),
        ({"N/A": 5, "n.a.": 20, "Positive.": 1, "positive": 2}, {"N/A": "n.a.", "Positive.": "positive"}),
        ({"good 👍": 5, "good 👎": 20}, {}),
        ({"５": 1, "5": 10}, {"５": "5"}),
    ],
)
def test_spellings_of_one_label_are_told_from_labels(counts: dict[str, int], variants: dict[str, str]) -> None:
    assert spelling_variants(counts) == variants


@pytest.mark.parametrize(
    ("counts", "slips"),
    [
        ({"delivery": 100, "delivry": 2}, {"delivry": "delivery"}),
        ({"delivery": 100, "delivry": 60}, {}),
        ({"section 11": 100, "section 12": 2}, {}),  # alike, but for a digit
        ({"posts": 100, "post": 1}, {}),  # too short to tell
        ({"posts": 1, "post": 100}, {"posts": "post"}),
    ],
)
def test_rare_labels_nearly_like_a_frequent_one_may_be_slips(counts: dict[str, int], slips: dict[str, str]) -> None:
    assert likely_slips(counts) == slips


@pytest.mark.parametrize(
    ("labels", "separator"),
    [
        (["joy", "love", "joy|love", "anger", "anger|joy"], "|"),
        (["a", "b", "c", "a, b", "b, c"], ","),
        (["NUM/date", "NUM/count", "HUM/ind", "HUM/gr"], ""),  # paths, whose parts are no labels themselves
        (["Sci-Tech", "Sports", "World"], ""),
        (["rock", "pop", "rock;pop"], ""),  # one may be chance
        (["rock", "pop", "rock;pop", "pop;rock", "r;b"], ""),  # of one in three a part is no label
        (["rock", "pop", "r", "rock;pop", "pop;rock", "rock;r", "r;pop", "r;b"], ";"),
        (["a", "|", "b|"], ""),
        ([], ""),
    ],
)
def test_labels_that_are_others_joined_are_told_from_paths(labels: list[str], separator: str) -> None:
    assert joined_by(labels) == separator


def test_what_stands_between_joined_labels_is_told_with_the_option_to_give() -> None:
    labels = ["joy"] * 20 + ["love"] * 20 + ["anger"] * 20 + ["joy|love"] * 10 + ["anger|joy"] * 10
    (found,) = label_findings(table(labels))
    assert (found.kind, found.level) == ("joined_labels", "warning")
    assert "--label-separator '|'" in found.message
    assert found.figures == {"separator": "|", "labels": 2, "rows": 20}
    assert not list(label_findings(Table(["x"] * len(labels), labels, np.arange(len(labels)), separator="|")))


def test_several_labels_of_a_text_are_looked_at_one_by_one() -> None:
    labels = ["joy|love"] * 20 + ["joy"] * 20 + ["Joy|love"]
    findings = {
        found.kind: found for found in label_findings(Table(["x"] * 41, labels, np.arange(41) + 2, separator="|"))
    }
    assert list(findings) == ["label_spellings"]
    assert findings["label_spellings"].figures == {"variants": {"Joy": "joy"}}


def test_every_row_of_a_variant_is_named_with_what_it_should_be() -> None:
    findings = {found.kind: found for found in label_findings(table(["good", "good", "Good", "bad", "bad"]))}
    (suspect,) = findings["label_spellings"].suspects
    assert (suspect.row, suspect.suggestion) == (4, "good")


def test_rare_labels_and_imbalance_are_told() -> None:
    findings = {found.kind: found for found in label_findings(table(["a"] * 100 + ["b"] * 9 + ["c"]))}
    assert findings["rare_labels"].level == "warning"
    assert findings["rare_labels"].figures == {"labels": {"b": 9, "c": 1}}
    assert findings["imbalance"].figures["ratio"] == 100
    assert not list(label_findings(table(["a"] * 20 + ["b"] * 20)))


def test_spellings_and_slips_count_with_what_they_should_be() -> None:
    labels = ["delivery"] * 200 + ["delivry"] * 3 + ["Delivry"] + ["billing"] * 30
    kinds = [found.kind for found in label_findings(table(labels))]
    assert kinds == ["label_spellings", "label_slips"], "neither rare labels nor imbalance"


def test_one_label_is_nothing_to_learn() -> None:
    assert [found.kind for found in label_findings(table(["a"] * 20))] == ["one_label"]


def test_numbers_may_be_steps_of_a_scale() -> None:
    (finding,) = label_findings(table(["1", "2.0", "10"] * 20))
    assert (finding.kind, finding.level, finding.figures) == ("ordered_labels", "note", {"labels": ["1", "2.0", "10"]})
    assert "model.head.type=ordinal" in finding.message
    assert not list(label_findings(table(["0", "1"] * 20)))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a", "b"], "2 of 2 labels have only one row"),
        ([str(place / 7) for place in range(60)], "60 different numbers in 60 rows, .* Cut the numbers into ranges"),
        ([f"text {place}" for place in range(60)], "is that the text column?"),
        (["x", "y", "z", "x;y", "y;z", "x;z"] + ["x", "y", "z"] * 20, "--label-separator ';'"),
    ],
)
def test_what_training_stops_at_is_a_problem(labels: list[str], said: str) -> None:
    (finding,) = [found for found in label_findings(table(labels)) if found.level == "problem"]
    assert finding.kind == "untrainable"
    assert re.search(said.replace("?", r"\?"), finding.message)


def test_rows_without_a_label_are_noted_where_texts_have_several() -> None:
    labels = ["x;y", "", "x", " ; ", "y"] * 12
    texts = Table([f"text {i}" for i in range(60)], labels, np.arange(2, 62), ";")
    (finding,) = label_findings(texts)
    assert (finding.kind, finding.level, finding.figures) == ("no_label", "note", {"rows": 24})
    assert [suspect.row for suspect in finding.suspects[:3]] == [3, 5, 8]
    none = Table(["a", "b"], ["", ""], np.arange(2, 4), ";")
    assert [(found.kind, found.level) for found in label_findings(none)] == [
        ("no_label", "note"), ("one_label", "problem"),
    ]  # fmt: skip


def test_labels_that_only_the_test_has_are_a_problem() -> None:
    data = Table(["a", "b"], ["x", "y|z"], np.arange(2, 4), "|")
    test = Table(["c", "d", "e"], ["z", "w", "x|w"], np.arange(2, 5), "|")
    (finding,) = labels_of_test(data, test)
    assert (finding.level, finding.figures) == ("problem", {"labels": {"w": 2}})
    assert [(suspect.row, suspect.file) for suspect in finding.suspects] == [(3, "test"), (4, "test")]
    assert not list(labels_of_test(data, data))


def test_labels_that_programs_write_for_no_value_are_told() -> None:
    labels = ["joy"] * 20 + ["love"] * 20 + ["NaN"] * 12 + ["null"]
    findings = {found.kind: found for found in label_findings(table(labels))}
    assert findings["missing_labels"].figures == {"labels": {"NaN": 12, "null": 1}}
    assert len(findings["missing_labels"].suspects) == 13
    assert "'NaN' (12 rows), 'null' (1 row)" in findings["missing_labels"].message
