from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from textcnn.config import TrainConfig
from textcnn.train.loop import clip_gradients_
from textcnn.train.optimizers import RowAdadelta, RowAdam, RowOptimizer, RowSGD, make_optimizer

ROWS = 12


class Bag(nn.Module):
    """A sum of word vectors and a linear layer: a sparse gradient, dense ones, a matrix and a vector."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.words = nn.Parameter(torch.randn(ROWS, 5, generator=generator))
        self.weight = nn.Parameter(torch.randn(3, 5, generator=generator))
        self.bias = nn.Parameter(torch.randn(3, generator=generator))
        self.sparse = sparse

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return F.linear(F.embedding(ids, self.words, sparse=self.sparse).sum(1), self.weight, self.bias)


def after_steps(make: Callable[[Bag], torch.optim.Optimizer], *, sparse: bool, whole: bool = False) -> Bag:
    """The module after some steps; in each, some words occur twice and others not at all (or all do, if `whole`)."""
    bag = Bag(sparse=sparse)
    optimizer = make(bag)
    generator = torch.Generator().manual_seed(1)
    for _ in range(25):
        ids = torch.arange(ROWS).view(4, 3) if whole else torch.randint(0, ROWS, (4, 3), generator=generator)
        target = torch.randint(0, 3, (4,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(bag(ids), target).backward()
        optimizer.step()
    return bag


def alike(left: nn.Module, right: nn.Module) -> None:
    for name, value in left.named_parameters():
        torch.testing.assert_close(value, right.get_parameter(name), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_adam_with_dense_gradients_equals_torchs(l2: float) -> None:
    ours = after_steps(lambda bag: RowAdam(bag.parameters(), lr=0.05, l2=l2), sparse=False)
    theirs = after_steps(lambda bag: torch.optim.Adam(bag.parameters(), lr=0.05, weight_decay=l2), sparse=False)
    alike(ours, theirs)


def test_adam_with_sparse_gradients_of_all_rows_equals_the_dense_one() -> None:
    sparse = after_steps(lambda bag: RowAdam(bag.parameters(), lr=0.05), sparse=True, whole=True)
    dense = after_steps(lambda bag: torch.optim.Adam(bag.parameters(), lr=0.05), sparse=False, whole=True)
    alike(sparse, dense)


@pytest.mark.parametrize("sparse", [False, True])
def test_adadelta_equals_torchs_dense_one_whatever_the_gradients(sparse: bool) -> None:
    ours = after_steps(lambda bag: RowAdadelta(bag.parameters(), rho=0.95, eps=1e-6), sparse=sparse)
    theirs = after_steps(lambda bag: torch.optim.Adadelta(bag.parameters(), lr=1.0, rho=0.95, eps=1e-6), sparse=False)
    # a row that sits out decays only when it is touched next, so only what the forward pass sees must agree
    alike(ours, theirs)


def test_the_penalty_spares_the_embedding() -> None:
    plain = after_steps(lambda bag: RowAdam([bag.words], lr=0.05), sparse=True)
    penalised = after_steps(lambda bag: RowAdam([bag.words], lr=0.05, l2=0.5), sparse=True)
    alike(plain, penalised)


def test_adamw_with_dense_gradients_equals_torchs() -> None:
    ours = after_steps(lambda bag: RowAdam(bag.parameters(), lr=0.05, weight_decay=0.1), sparse=False)
    theirs = after_steps(lambda bag: torch.optim.AdamW(bag.parameters(), lr=0.05, weight_decay=0.1), sparse=False)
    alike(ours, theirs)


@pytest.mark.parametrize("sparse", [False, True])
def test_sgd_with_momentum_equals_torchs(sparse: bool) -> None:
    ours = after_steps(lambda bag: RowSGD(bag.parameters(), lr=0.05, momentum=0.9), sparse=sparse, whole=True)
    theirs = after_steps(lambda bag: torch.optim.SGD(bag.parameters(), lr=0.05, momentum=0.9), sparse=False, whole=True)
    alike(ours, theirs)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", RowAdam), ("adamw", RowAdam), ("adadelta", RowAdadelta), ("sgd", RowSGD)]
)
def test_the_configuration_names_the_optimizer(name: Any, kind: type[RowOptimizer]) -> None:
    bag = Bag(sparse=True)
    bag.bias.requires_grad_(False)
    optimizer = make_optimizer(bag, TrainConfig(optimizer=name, learning_rate=0.5, l2=0.1))
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["l2"]) == (0.5, 0.1)
    assert len(optimizer.param_groups[0]["params"]) == 2, "what is not trained has no state"


@pytest.mark.parametrize("bound", [0.1, 100.0])
def test_clipping_counts_sparse_gradients_as_the_dense_ones_they_stand_for(bound: float) -> None:
    sparse, dense = Bag(sparse=True), Bag(sparse=False)
    ids = torch.tensor([[1, 1, 2], [3, 2, 1]])  # repeated words: the sparse gradient holds a row several times
    for bag in (sparse, dense):
        bag(ids).square().sum().backward()
    clip_gradients_(sparse, bound)
    norm = nn.utils.clip_grad_norm_(dense.parameters(), bound)
    for name, value in dense.named_parameters():
        gradient = sparse.get_parameter(name).grad
        assert gradient is not None
        torch.testing.assert_close(gradient.to_dense(), value.grad, rtol=1e-4, atol=1e-6)
    assert norm > 0.1
