from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from textcnn.build import resolve
from textcnn.config import RunConfig
from textcnn.data.labels import LabelSet
from textcnn.errors import ConfigError
from textcnn.train.learning_rate import learning_rates
from textcnn.train.pretrain import pretrain_encoder
from textcnn.train.progress import Progress
from textcnn.train.run import learn_text, train_classifier, weigh_classes

from ...conftest import TINY, tiny_corpus

LABELS = ["spam"] * 6 + ["ham"] * 2 + ["news"] * 4
NAMES = LabelSet.from_labels(LABELS)  # ham, news, spam


def weights(value: object) -> object:
    config = RunConfig.from_mapping({"train": {"class_weights": value}})
    found = weigh_classes(config, NAMES, LABELS)
    return found if found is None else found.tolist()


def test_classes_weigh_alike_unless_asked_otherwise() -> None:
    assert weights("none") is None


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    assert weights("balanced") == pytest.approx([2.0, 1.0, 2 / 3])
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    theirs = sklearn.compute_class_weight("balanced", classes=np.array(NAMES.names), y=np.array(LABELS))
    assert weights("balanced") == pytest.approx(theirs.tolist())


def test_a_table_gives_weights_and_others_weigh_1() -> None:
    assert weights({"spam": 0.5}) == [1.0, 1.0, 0.5]


def test_unknown_labels_in_the_table_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        weights({"spm": 1, "spam": 2, "weather": 3})
    assert caught.value.faults == (
        "train.class_weights: there is no label 'spm'; did you mean 'spam'?",
        "train.class_weights: there is no label 'weather'",
    )


def test_weights_change_what_is_learned() -> None:
    texts, labels = ["good", "bad", "same"] * 10, ["a", "b", "a"] * 10
    texts += ["same"] * 10
    labels += ["b"] * 10  # "same" is a as often as b
    config = {**TINY, "data": {"validation_fraction": 0}}

    def share_of_b(weights: object) -> float:
        from textcnn import TextClassifier

        train = {**TINY["train"], "max_epochs": 3, "class_weights": weights}
        return float(TextClassifier({**config, "train": train}).fit(texts, labels).predict_proba(["same"])[0, 1])

    assert share_of_b({"b": 5.0}) > share_of_b("none") > share_of_b({"b": 0.2})


def test_the_vocabulary_comes_from_the_training_texts_alone() -> None:
    texts, labels = tiny_corpus(30)
    held_out = ["unheard words", "my invoice"], ["repair", "billing"]
    artifact = train_classifier({**TINY, "train": {"max_epochs": 1}}, "kim_rand", texts, labels, validation=held_out)
    assert "unheard" not in artifact.tokenizer.tokens
    tokenizer, matrix, config = learn_text(texts, resolve(TINY), Progress(quiet=True))
    assert matrix is None
    assert tokenizer.tokens == artifact.tokenizer.tokens
    assert config == resolve(TINY)


@pytest.mark.parametrize("train", [train_classifier, learning_rates, pretrain_encoder])
def test_the_threads_and_random_numbers_of_the_process_are_afterwards_as_they_were(train: Callable[..., Any]) -> None:
    texts, labels = tiny_corpus(30)
    config = resolve({**TINY, "train": {"max_epochs": 1, "threads": torch.get_num_threads() + 1, "seed": 5}})
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    given = {train_classifier: ("kim_rand", texts, labels), learning_rates: (texts, labels)}.get(train, (texts,))
    train(config, *given)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), random)
