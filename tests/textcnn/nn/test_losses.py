from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from textcnn.registry import LOSSES

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-1.0, 0.2, 0.1], [4.0, -2.0, 0.0]])
CLASSES = torch.tensor([0, 1, 2, 0])
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
WEIGHTS = torch.tensor([1.0, 2.0, 0.5])


def value(name: str, target: torch.Tensor, weights: torch.Tensor | None = None, **options: Any) -> float:
    return float(LOSSES.build({"type": name, **options}, class_weights=weights)(LOGITS, target))


def test_cross_entropy_is_torchs_with_weights_and_smoothing() -> None:
    expected = F.cross_entropy(LOGITS, CLASSES, WEIGHTS, label_smoothing=0.1)
    assert value("cross_entropy", CLASSES, WEIGHTS, label_smoothing=0.1) == pytest.approx(float(expected))


def test_hinge_counts_the_wrong_classes_within_the_margin() -> None:
    first = max(0, 1 - 2 + 0.5) + max(0, 1 - 2 - 1)
    second = max(0, 1 - 1 + 0.0) + max(0, 1 - 1 + 3.0)
    third = max(0, 1 - 0.1 - 1.0) + max(0, 1 - 0.1 + 0.2)
    assert value("hinge", CLASSES) == pytest.approx((first + second + third + 0) / 3 / 4)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_with_gamma_0_is_cross_entropy_and_with_more_counts_the_easy_less(weights: torch.Tensor | None) -> None:
    assert value("focal", CLASSES, weights, gamma=0) == pytest.approx(value("cross_entropy", CLASSES, weights))
    assert value("focal", LABELS, weights, gamma=0) == pytest.approx(value("binary_cross_entropy", LABELS, weights))
    p = LOGITS.softmax(1)[range(4), CLASSES]
    assert value("focal", CLASSES) == pytest.approx(float((-((1 - p) ** 2) * p.log()).mean()))


def test_binary_cross_entropy_is_torchs_for_labels_and_one_against_the_rest_for_classes() -> None:
    expected = F.binary_cross_entropy_with_logits(LOGITS, LABELS)
    assert value("binary_cross_entropy", LABELS) == pytest.approx(float(expected))
    rest = F.binary_cross_entropy_with_logits(LOGITS, F.one_hot(CLASSES, 3).float())
    assert value("binary_cross_entropy", CLASSES) == pytest.approx(float(rest))


def test_squared_error_is_briers() -> None:
    expected = (LOGITS.softmax(1) - F.one_hot(CLASSES, 3)).square().sum(1).mean()
    assert value("squared_error", CLASSES) == pytest.approx(float(expected))
    assert value("squared_error", LABELS) == pytest.approx(float((LOGITS.sigmoid() - LABELS).square().mean()))


@pytest.mark.parametrize("name", LOSSES.names())
def test_weights_of_1_change_nothing_and_weights_of_0_leave_a_class_out(name: str) -> None:
    assert value(name, CLASSES, torch.ones(3)) == pytest.approx(value(name, CLASSES))
    assert value(name, CLASSES, WEIGHTS) != pytest.approx(value(name, CLASSES))
