"""Every head from the command line: train, evaluate, predict."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...conftest import tiny_corpus, write_csv
from .conftest import Run

TINY = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.batch_size=8", "train.learning_rate=0.02"]
TEXTS, TOPICS = tiny_corpus(120)


@pytest.fixture
def several(here: Path) -> Path:
    labels = ["billing;shop" if topic == "billing" else topic for topic in TOPICS]
    return write_csv(here / "several.csv", TEXTS, labels)


@pytest.fixture
def tasks(here: Path) -> Path:
    with open(here / "tasks.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "topic", "shop"])
        for row, (text, topic) in enumerate(zip(TEXTS, TOPICS, strict=True)):
            writer.writerow([text, topic if row % 7 else "", "yes" if topic == "billing" else "no"])
    return here / "tasks.csv"


def test_several_labels_in_a_column(run: Run, several: Path) -> None:
    ran = run("train", several, "--label-separator", ";", *TINY, "train.max_epochs=6", "data.test_fraction=0.2")
    assert ran.code == 0
    assert "test accuracy 1" in ran.out and "micro F1 1" in ran.out
    shown = run("evaluate", "models/several", several).out
    assert "a text counts as right with exactly its labels; micro F1 " in shown
    assert "shop " in shown
    answer = json.loads(run("predict", "models/several", TEXTS[0], TEXTS[1]).out.splitlines()[0])
    assert set(answer["labels"]) == {"billing", "shop"} and len(answer["probabilities"]) == 2
    assert run("predict", "models/several", TEXTS[0], "--output", "out.csv").code == 0
    assert "shop" in Path("out.csv").read_text().splitlines()[1]
    assert Path("out.csv").read_text().startswith('"text","labels","probabilities"')
    assert "are for models that give one label a text" in run("predict", "models/several", "x", "--top-k", "2").err


def test_labels_that_look_like_several_in_one_are_told_with_the_option_to_give(run: Run, here: Path) -> None:
    topics = sorted(set(TOPICS))
    labels = [f"{topics[0]}; {topics[1]}" if i % 7 == 0 else topic for i, topic in enumerate(TOPICS)]
    labels = [f"{topics[1]}; {topics[0]}" if i % 11 == 1 else label for i, label in enumerate(labels)]
    write_csv(Path("joined.csv"), TEXTS, labels)
    ran = run("train", "joined.csv", *TINY, "train.max_epochs=1")
    assert ran.code == 0
    assert f"2 of {len(topics) + 2} labels are others joined by ';', such as" in ran.err
    assert "--label-separator ';'" in ran.err


def test_none_of_the_labels_is_an_answer(run: Run, here: Path) -> None:
    labels = [{"billing": "money;shop", "repair": "shop"}.get(topic, "") for topic in TOPICS]
    write_csv(Path("some.csv"), TEXTS, labels)
    checked = run("check", "some.csv", "--label-separator", ";")
    assert checked.code == 0
    assert "40 rows have no label, which is learned as an answer: none of them" in checked.out
    ran = run("train", "some.csv", "--label-separator", ";", *TINY, "train.max_epochs=8", "data.test_fraction=0.2")
    assert ran.code == 0
    assert "32 of 96 texts have no label, which is learned as an answer: none of them" in ran.err
    assert "test accuracy 1" in ran.out
    assert "on 120 texts" in run("evaluate", "models/some", "some.csv").out
    assert json.loads(run("predict", "models/some", TEXTS[TOPICS.index("delivery")]).out)["labels"] == []
    # of one label each, an empty one is as before a row that cannot be used
    assert "row 3: the label is missing" in run("train", "some.csv", *TINY).err


def test_several_tasks_in_several_columns(run: Run, tasks: Path) -> None:
    ran = run("train", tasks, "--task-column", "topic", "--task-column", "shop", *TINY, "train.max_epochs=6")
    assert ran.code == 0
    assert "labels of tasks from 'topic' and 'shop'" in ran.err
    assert "not used" not in ran.err
    shown = run("evaluate", "models/tasks", tasks).out
    assert "\ntopic: accuracy " in shown and "\nshop: accuracy " in shown
    answer = json.loads(run("predict", "models/tasks", TEXTS[0]).out)
    assert (answer["topic"], answer["shop"]) == ("billing", "yes")
    assert run("predict", "models/tasks", TEXTS[0], "--output", "out.parquet").code == 0
    assert run("train", tasks, "--task-column", "topic", "--task-column", "shop", *TINY, "train.max_epochs=1",
               "data.test_fraction=0.2").code == 0  # fmt: skip


def test_labels_that_are_paths(run: Run, here: Path) -> None:
    write_csv(here / "paths.csv", TEXTS, [f"shop/{topic}" if topic != "repair" else topic for topic in TOPICS])
    assert run("train", "paths.csv", "model.head.type=hierarchy", *TINY, "train.max_epochs=6").code == 0
    assert "level 1 of the labels: accuracy " in run("evaluate", "models/paths", "paths.csv").out
    answer = json.loads(run("predict", "models/paths", TEXTS[0]).out)
    assert answer["label"] == "shop/billing"
    assert answer["levels"][0]["label"] == "shop"
    assert answer["levels"][0]["probability"] >= answer["probability"]
    assert run("predict", "models/paths", TEXTS[0], "--output", "out.csv").code == 0
    assert "levels" in Path("out.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tasks.csv", "model.head.type=multi_task"], "needs data.task_columns: --task-column NAME, once for each"),
        (["tasks.csv", "--task-column", "tpoic"], "there is no column 'tpoic'; did you mean 'topic'?"),
        (["tasks.csv", "--task-column", "topic", "--label-separator", ";"], "--label-separator is for one column"),
        (["tasks.csv", "--task-column", "text"], "different labels in 120 rows"),
        (["train.csv", "--label-separator", ";", "train.r_drop=1"], "train.r_drop compares answers of one softmax"),
    ],
)
def test_mistakes_with_heads(mistake: Callable[..., str], tasks: Path, arguments: list[str], message: str) -> None:
    assert message in mistake("train", *arguments)


def test_lists_of_labels_in_json_lines_are_read_as_they_are(run: Run, mistake: Any, here: Path) -> None:
    labels = [["billing", "shop"] if topic == "billing" else [topic] for topic in TOPICS]
    lines = [json.dumps({"text": text, "labels": own}) for text, own in zip(TEXTS, labels, strict=True)]
    Path("posts.jsonl").write_text("\n".join(lines))
    for command in (["train", "posts.jsonl", *TINY], ["check", "posts.jsonl"]):
        assert "--label-separator '|', which chooses the multi_label head" in mistake(*command)
    many = ["model.head.type=multi_label", *TINY, "train.max_epochs=6", "data.test_fraction=0.2"]
    ran = run("train", "posts.jsonl", *many)
    assert ran.code == 0 and "test accuracy 1" in ran.out
    assert "on 120 texts" in run("evaluate", "models/posts", "posts.jsonl").out
    assert run("report", "models/posts", "posts.jsonl").code == 0
    checked = run("check", "posts.jsonl", "--label-separator", "|", "--fix")
    assert "4 labels" in checked.out and '"billing|shop"' in Path("posts.clean.csv").read_text()


def test_columns_of_the_table_are_kept_beside_several_labels_and_tasks(run: Run, several: Path, tasks: Path) -> None:
    write_csv(Path("in.csv"), TEXTS[:2], ["a1", ""], names=("text", "id"))
    assert run("train", several, "--label-separator", ";", *TINY, "train.max_epochs=1").code == 0
    # in another case than in the file, as columns may always be named
    assert run("train", tasks, "--task-column", "Topic", "--task-column", "shop", *TINY, "train.max_epochs=1").code == 0
    for model in ("several", "tasks"):
        asked = ["predict", f"models/{model}", "--input", "in.csv", "--keep", "id"]
        assert [json.loads(line)["id"] for line in run(*asked).out.splitlines()] == ["a1", ""]
        assert run(*asked, "--output", "out.csv", "--overwrite").code == 0
        with open("out.csv", newline="") as file:
            assert [row["id"] for row in csv.DictReader(file)] == ["a1", ""]
    for model, name in (("several", "labels"), ("tasks", "shop_probability")):
        write_csv(Path("in.csv"), TEXTS[:2], ["a1", ""], names=("text", name))
        said = run("predict", f"models/{model}", "--input", "in.csv", "--keep", name).err
        assert f"--keep {name}: the output has a column of that name" in said
