from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score, matthews_corrcoef

from textcnn.errors import DataError, MissingExtraError
from textcnn.evaluation.metrics import confusion, evaluate_predictions, intervals, wilson
from textcnn.types import Floats

NAMES = ("a", "b", "c")


def rows(*winners: int, sure: float = 0.8) -> Floats:
    """A row of probabilities for each winner."""
    probabilities = np.full((len(winners), 3), (1 - sure) / 2, np.float32)
    probabilities[np.arange(len(winners)), winners] = sure
    return probabilities


def test_figures_are_those_of_the_definitions() -> None:
    figures = evaluate_predictions(["a", "a", "a", "b"], rows(0, 0, 1, 1), NAMES)
    assert figures["texts"] == 4
    assert figures["accuracy"] == 0.75
    assert figures["loss"] == pytest.approx(-(3 * np.log(0.8) + np.log(0.1)) / 4, rel=1e-5)
    assert figures["labels"]["a"] == {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": 0.8, "texts": 3}
    assert figures["labels"]["b"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "texts": 1}
    assert figures["labels"]["c"]["texts"] == 0
    assert figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2), "labels that do not occur do not count"


def test_a_label_that_the_model_does_not_know_cannot_be_right() -> None:
    figures = evaluate_predictions(["a", "new"], rows(0, 0), NAMES)
    assert (figures["accuracy"], figures["unknown_labels"]) == (0.5, 1)
    assert figures["loss"] == pytest.approx(-np.log(0.8), rel=1e-5)
    assert list(figures["labels"]) == ["a", "b", "c", "new"]


def test_without_a_known_label_there_is_no_loss() -> None:
    assert evaluate_predictions(["new", "newer"], rows(0, 1), NAMES)["loss"] is None


def test_a_certain_mistake_has_a_finite_loss() -> None:
    assert evaluate_predictions(["b"], rows(0, sure=1.0), NAMES)["loss"] == pytest.approx(-np.log(1e-12))


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(DataError, match="no row to evaluate"):
        evaluate_predictions([], np.zeros((0, 3), np.float32), NAMES)


def test_without_scikit_learn_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingExtraError, match=r"evaluation needs scikit-learn.*textcnn\[train\]"):
        evaluate_predictions(["a"], rows(0), NAMES)


def test_areas_and_the_most_probable_labels_count_ranks() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]], np.float32)
    figures = evaluate_predictions(["a", "b", "c"], probabilities, NAMES)
    assert figures["top"] == {"2": 1.0}
    assert (figures["roc_auc"], figures["average_precision"]) == (1.0, 1.0)
    assert figures["brier"] == pytest.approx((0.26 + 0.62 + 0.14) / 3, rel=1e-6)


def test_one_label_alone_has_no_areas() -> None:
    figures = evaluate_predictions(["a", "a"], rows(0, 1), NAMES)
    assert (figures["roc_auc"], figures["average_precision"]) == (None, None)


def test_intervals_are_those_of_drawing_texts_with_replacement() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    predicted = np.where(random.random(300) < 0.7, truth, random.integers(0, 3, 300))
    found = intervals(confusion(truth, predicted, 4))
    drawn: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "mcc": []}
    for _ in range(400):
        chosen = random.integers(0, 300, 300)
        drawn["accuracy"].append(float((truth[chosen] == predicted[chosen]).mean()))
        drawn["macro_f1"].append(float(f1_score(truth[chosen], predicted[chosen], average="macro")))
        drawn["mcc"].append(float(matthews_corrcoef(truth[chosen], predicted[chosen])))
    for name, values in drawn.items():
        assert found[name] == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=0.02), name


def test_the_interval_of_a_share_is_wilsons() -> None:
    expected = binomtest(8, 10).proportion_ci(method="wilson")
    assert wilson(8, 10) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_one_text_leaves_the_accuracy_open() -> None:
    figures = evaluate_predictions(["a"], rows(1), NAMES)
    assert figures["intervals"]["accuracy"] == pytest.approx([0.0, 0.793], abs=0.001)


def test_a_confusion_matrix_has_a_row_for_each_true_class() -> None:
    assert confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


def test_one_label_everywhere_leaves_nothing_to_correlate() -> None:
    figures = evaluate_predictions(["a", "a"], rows(0, 0), NAMES)
    assert (figures["accuracy"], figures["mcc"]) == (1.0, 0.0)


def test_intervals_are_the_same_however_many_draws_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([[5, 2, 0], [1, 7, 0], [0, 3, 9]])
    together = intervals(counts)
    monkeypatch.setattr("textcnn.evaluation.metrics.CELLS_AT_ONCE", 40)
    assert intervals(counts) == together
