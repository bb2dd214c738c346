from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier

from ...conftest import TINY, tiny_corpus, write_csv
from .conftest import Run


@pytest.fixture
def home(here: Path, classifier: TextClassifier) -> Path:
    """models/tiny/1 of one's own, and doubtful.csv: labels that are often not what the words say."""
    classifier.save(here / "models" / "tiny" / "1")
    texts, labels = tiny_corpus(120, seed=2)
    write_csv(here / "doubtful.csv", texts, [labels[i if i % 4 else i - 1] for i in range(len(labels))])
    return here


def test_a_calibrated_model_is_the_next_version_with_the_same_labels(run: Run, home: Path) -> None:
    ran = run("calibrate", "models/tiny", "doubtful.csv")
    assert ran.code == 0
    assert "temperature on 120 texts" in ran.out
    assert ran.err.endswith("saved models/tiny/2\n")
    before, after = (TextClassifier.load(f"models/tiny/{version}") for version in (1, 2))
    texts, _ = tiny_corpus(20, seed=3)
    assert after.predict(texts) == before.predict(texts)
    assert after.predict_proba(texts).max() < before.predict_proba(texts).max(), "a quarter of the labels is wrong"


def test_json_is_what_the_model_keeps(run: Run, home: Path) -> None:
    ran = run(
        "calibrate", "models/tiny/1", "doubtful.csv", "--json", "--abstain-precision", "0.7", "--output", "models/t/5"
    )
    figures = json.loads(ran.out)
    kept = TextClassifier.load("models/t/5").metrics_
    assert figures == {**kept["calibration"], "abstaining": kept["abstaining"]}


def test_a_model_that_abstains_says_so_where_it_predicts(run: Run, home: Path) -> None:
    assert run("calibrate", "models/tiny", "doubtful.csv", "--abstain-precision", "0.6").code == 0
    assert (
        "answers from probability"
        in run("calibrate", "models/tiny/1", "doubtful.csv", "--abstain-precision", "0.7").out
    )
    row = json.loads(run("predict", "models/tiny", "my invoice").out)
    assert row["abstained"] is False
    row = json.loads(run("predict", "models/tiny", "my invoice", "--abstain-below", "1").out)
    assert (row["label"], row["abstained"]) == ("billing", True)


def test_a_precision_out_of_reach_says_what_can_be_had_and_saves_nothing(run: Run, home: Path) -> None:
    texts, labels = tiny_corpus(60, seed=2)
    write_csv(home / "wrong.csv", texts, labels[1:] + labels[:1])
    ran = run("calibrate", "models/tiny", "wrong.csv", "--abstain-precision", "0.9")
    assert ran.code == 2
    assert "no threshold makes 90.0% of the answers right on these 60 texts; the most is 0.0%" in ran.err
    assert not (home / "models" / "tiny" / "2").exists()


def test_a_goal_that_other_texts_miss_is_told(run: Run, home: Path) -> None:
    # a model whose surest answers to these texts are right by chance more often than others
    settings = {**TINY, "model": {**TINY["model"], "wide": {"characters": 0}}}
    TextClassifier(settings).fit(*tiny_corpus()).save("models/tiny/1", overwrite=True)
    ran = run("calibrate", "models/tiny", "doubtful.csv", "--abstain-precision", "0.85", "--json")
    assert json.loads(ran.out)["abstaining"]["precision"] < 0.85
    assert "the goal of 85.0% is missed on texts that did not choose the threshold" in ran.err
    assert "is missed" not in run("calibrate", "models/tiny/1", "doubtful.csv", "--abstain-precision", "0.7").err


def test_a_calibration_that_does_not_help_is_not_kept(run: Run, home: Path) -> None:
    write_csv(home / "few.csv", *tiny_corpus(12, seed=1))
    ran = run("calibrate", "models/tiny", "few.csv")
    assert ran.out.startswith("temperature on 12 texts does not lower the log loss by cross-fitting (")
    assert ran.out.endswith("plain softmax is kept\n")
    assert TextClassifier.load("models/tiny/2").artifact_.calibration.method == "none"
    assert "probabilities are the plain softmax, measured on 12 texts" in Path("models/tiny/2/README.md").read_text()


def test_f1_by_label_is_listed(run: Run, home: Path) -> None:
    ran = run("calibrate", "models/tiny", "doubtful.csv", "--abstain-f1", "--method", "vector")
    assert ran.code == 0
    assert "cross-fitted; answering all: " in ran.out


def test_labels_without_a_text_are_named(run: Run, home: Path) -> None:
    texts, labels = tiny_corpus(60)
    write_csv(home / "two.csv", texts, ["billing" if label == "repair" else label for label in labels])
    ran = run("calibrate", "models/tiny", "two.csv")
    assert ran.code == 0
    assert "no text has the label 'repair': nothing is learned of it" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models/tiny", "same.csv"], "all 20 texts have the same label"),
        (["models/tiny", "doubtful.csv", "--abstain-precision", "0.9", "--abstain-f1"], "not both"),
        (["models/tiny", "doubtful.csv", "--by-label"], "--by-label goes with --abstain-precision"),
        (["models/tiny", "doubtful.csv", "--output", "models/tiny/1"], "exists already"),
        (["models/tiny", "one.csv"], "1 text is too few for temperature, expected at least 10"),
        (["models/tiny", "odd.csv"], "labels that training has not seen: 'weather'"),
    ],
)
def test_a_mistake_is_told(mistake: Any, home: Path, arguments: list[str], message: str) -> None:
    write_csv(home / "odd.csv", ["my invoice", "rain"], ["billing", "weather"])
    write_csv(home / "one.csv", ["my invoice"], ["billing"])
    write_csv(home / "same.csv", ["my invoice"] * 20, ["billing"] * 20)
    told = mistake("calibrate", *arguments)
    assert message in told
    assert [path.name for path in (home / "models" / "tiny").iterdir()] == ["1"]
