"""Every head from end to end: fit, predict, classify, evaluate, save, load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.errors import ConfigError, DataError, LabelError
from textcnn.inference.select import select_engine
from textcnn.kernels.native import native
from textcnn.registry import HEADS

from ..conftest import TINY, tiny_corpus

TEXTS, TOPICS = tiny_corpus(120)
# billing and delivery share a second label, repair has a third one by itself
MANY = [(topic, "shop") if topic != "repair" else (topic,) for topic in TOPICS]
TASKS = {
    "topic": [topic if row % 7 else "" for row, topic in enumerate(TOPICS)],
    "shop": ["no" if topic == "repair" else "yes" for topic in TOPICS],
}
PATHS = [f"shop/{topic}" if topic != "repair" else "repair" for topic in TOPICS]
LABELS: dict[str, Any] = {
    "single_label": TOPICS,
    "ordinal": TOPICS,
    "hierarchy": PATHS,
    "multi_label": MANY,
    "multi_task": TASKS,
}


def fitted(head: dict[str, Any], **sections: Any) -> TextClassifier:
    model = {**TINY["model"], "head": head, **sections.pop("model", {})}
    config = {**TINY, "model": model, "train": {**TINY["train"], "max_epochs": 8}, **sections}
    return TextClassifier(config).fit(TEXTS, LABELS[head["type"]])


@pytest.fixture(scope="module", params=HEADS.names())
def model(request: pytest.FixtureRequest) -> TextClassifier:
    """A model of each head, with a hidden layer."""
    return fitted({"type": request.param, "hidden_dim": 12, "max_norm": 0.0})


def test_every_head_learns_and_says_how_well(model: TextClassifier) -> None:
    figures = model.evaluate(TEXTS, LABELS[model.head["type"]])
    assert figures["accuracy"] > 0.9
    assert figures["accuracy"] == pytest.approx(model.score(TEXTS, LABELS[model.head["type"]]))
    assert figures["texts"] == 120 and figures["unknown_labels"] == 0
    assert 0 < figures["macro_f1"] <= 1


def test_every_head_answers_the_same_when_loaded(model: TextClassifier, tmp_path: Path) -> None:
    model.save(tmp_path / "m" / "1")
    again = TextClassifier.load(tmp_path / "m" / "1")
    some = [*TEXTS[:5], "", "never seen"]
    np.testing.assert_array_equal(again.predict_proba(some), model.predict_proba(some))
    assert again.predict(some) == model.predict(some)
    assert again.classify(some, top_k=2) == model.classify(some, top_k=2)
    more_than_ranked = model.head["type"] in ("hierarchy", "multi_label", "multi_task")
    assert (again.rank(some) is None) == (again.rank([]) is None) == more_than_ranked
    assert again.predict([]) == []
    assert again.head == model.head
    assert not [name for name in again.artifact_.weights if name.startswith("auxiliary")]


def test_every_head_explains(model: TextClassifier) -> None:
    (explanation,) = model.explain(["my invoice hello, since monday charged twice"])
    assert explanation.label in model.labels
    assert 0 <= explanation.probability <= 1
    assert explanation.method == "occlusion", "a hidden layer does not add up n-grams"
    plain = fitted({"type": model.head["type"]})
    (explanation,) = plain.explain(["my invoice hello, since monday charged twice"])
    assert explanation.method == "ngrams"


@pytest.mark.parametrize("block", [None, {"type": "qrnn", "hidden_dim": 8}], ids=["kim_conv", "qrnn"])
@pytest.mark.parametrize("filters", [0, 4], ids=["words", "characters"])
@pytest.mark.parametrize("head", HEADS.names())
def test_tables_run_every_linear_head_with_the_numbers_of_torch(head: str, filters: int, block: Any) -> None:
    embedding = {"dim": 16, "characters": {"num_filters": filters}}
    model = fitted({"type": head}, model={"embedding": embedding, **({} if block is None else {"blocks": [block]})})
    if native() is None:
        assert model.engine_name == "torch"
        return
    assert model.engine_name == ("qrnn_table" if block else "ngram_table")
    batch = model.artifact_.tokenizer.encode([*TEXTS[:9], "", "my invioce"])
    tables, network = (
        select_engine(model.artifact_, engine=name).logits(batch) for name in (model.engine_name, "torch")
    )
    np.testing.assert_allclose(tables, network, atol=1e-5)


def test_several_labels_are_those_over_their_thresholds() -> None:
    model = fitted({"type": "multi_label"})
    assert model.labels == ("billing", "delivery", "repair", "shop")
    assert len(model.head["thresholds"]) == 4
    assert model.predict(TEXTS[:3]) == [("billing", "shop"), ("delivery", "shop"), ("repair",)]
    found = model.predict_proba(TEXTS[:3])
    assert found[0].sum() > 1.5, "each label by itself"
    prediction = model.classify(TEXTS[:1], top_k=1)[0]
    assert prediction.labels is not None
    assert {score.label for score in prediction.labels} == {"billing", "shop"}
    assert prediction.label in ("billing", "shop")
    figures = model.evaluate(TEXTS, MANY)
    assert figures["micro_f1"] > 0.9
    assert figures["labels"]["shop"]["texts"] == 80
    assert model.evaluate(TEXTS[:2], [("billing", "snow"), ("delivery", "shop")])["unknown_labels"] == 1


def test_several_labels_may_stand_in_one_string() -> None:
    joined = ["|".join(row) for row in MANY]
    config = {**TINY, "model": {**TINY["model"], "head": {"type": "multi_label"}}}
    assert TextClassifier(config).fit(TEXTS, joined).labels == ("billing", "delivery", "repair", "shop")


def test_tasks_are_answered_side_by_side() -> None:
    model = fitted({"type": "multi_task"})
    assert model.labels == ("topic=billing", "topic=delivery", "topic=repair", "shop=no", "shop=yes")
    assert model.head["tasks"] == {"topic": 3, "shop": 2}
    assert model.predict(TEXTS[:3])[2] == {"topic": "repair", "shop": "no"}
    np.testing.assert_allclose(model.predict_proba(TEXTS).sum(1), 2.0, rtol=1e-5)
    prediction = model.classify(TEXTS[2:3], top_k=5)[0]
    assert prediction.tasks is not None
    assert [len(answer.top) for answer in prediction.tasks.values()] == [3, 2]
    assert prediction.tasks["shop"].label == "no"
    assert prediction.top == prediction.tasks["topic"].top
    figures = model.evaluate(TEXTS, TASKS)
    assert figures["tasks"]["topic"]["texts"] == 120 - 18, "rows without a label are left out"
    with pytest.raises(DataError, match="there are no labels of task 'shop'; found topic"):
        model.evaluate(TEXTS, {"topic": TOPICS})


def test_probabilities_are_consistent_up_the_tree() -> None:
    model = fitted({"type": "hierarchy"})
    assert model.labels == ("repair", "shop/billing", "shop/delivery")
    assert model.head["levels"] == [[0, 1, 1]]
    texts = [*TEXTS[:9], "hello"]
    for row, prediction in zip(model.predict_proba(texts), model.classify(texts), strict=True):
        (above,) = prediction.levels or ()
        assert above.label == prediction.label.partition("/")[0]
        expected = row[0] if above.label == "repair" else row[1] + row[2]
        assert above.probability == pytest.approx(float(expected), abs=1e-6)
    figures = model.evaluate(TEXTS, PATHS)
    assert figures["levels"][0] >= figures["accuracy"]
    with pytest.raises(LabelError, match="no label is a path: none has the separator '>'"):
        fitted({"type": "hierarchy", "separator": ">"})


def test_an_ordinal_head_takes_an_order() -> None:
    model = fitted({"type": "ordinal"}, data={"label_order": ["repair", "billing", "delivery"]})
    assert model.labels == ("repair", "billing", "delivery")
    with pytest.raises(LabelError, match="data.label_order is a, b, but the labels are billing, delivery, repair"):
        fitted({"type": "ordinal"}, data={"label_order": ["a", "b"]})


def test_auxiliary_heads_are_there_in_training_only() -> None:
    blocks = [{"type": "kim_conv", "filter_widths": [2], "num_filters": 8}] * 2
    auxiliary = {"blocks": [0], "weight": 0.5, "fade_epochs": 2}
    model = fitted({"type": "single_label"}, model={"blocks": blocks, "auxiliary": auxiliary})
    assert model.score(TEXTS, TOPICS) > 0.9
    assert not [name for name in model.artifact_.weights if name.startswith("auxiliary")]
    plain = fitted({"type": "single_label"}, model={"blocks": blocks})
    assert not np.array_equal(model.predict_proba(TEXTS[:1]), plain.predict_proba(TEXTS[:1]))


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        ("multi_task", TOPICS, "needs the labels as a mapping"),
        ("multi_task", {"a": TOPICS, "b": TOPICS[:3]}, "found a 120, b 3"),
        ("multi_task", {"a": TOPICS, "b": [""] * 120}, "task 'b': training needs at least 2 different labels"),
        ("multi_label", {"a": TOPICS}, "a multi_label head needs a list of labels, found dict"),
        ("multi_label", np.eye(3, dtype=int)[[0] * 120], "MultiLabelBinarizer.inverse_transform makes such lists"),
        ("single_label", [("a",)] * 120, "label 0 is \\('a',\\) \\(tuple\\), expected a string"),
    ],
)
def test_labels_of_another_form_are_refused(head: str, labels: Any, message: str) -> None:
    config = {**TINY, "model": {**TINY["model"], "head": {"type": head}}}
    with pytest.raises(DataError, match=message):
        TextClassifier(config).fit(TEXTS, labels)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"train": {"r_drop": 1.0}, "model": {"head": {"type": "multi_label"}}}, "train.r_drop compares answers"),
        ({"train": {"loss": {"type": "hinge"}}, "model": {"head": {"type": "ordinal"}}}, "cannot train a ordinal head"),
        ({"model": {"auxiliary": {"blocks": [1]}}}, "model.auxiliary.blocks has 1, but the model's blocks are 0 to 0"),
        ({"model": {"head": {"type": "multi_task", "task_weights": {"tpic": 1}}}}, "did you mean 'topic'"),
        ({"train": {"class_weights": "balanced"}, "model": {"head": {"type": "multi_task"}}}, "weigh tasks with"),
    ],
)
def test_settings_that_do_not_suit_a_head_are_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextClassifier(sections).fit(TEXTS, TASKS if "multi_task" in str(sections) else TOPICS)
