"""The wide part of a model (Cheng et al. 2016): a linear classifier on n-grams, fitted by itself and weighed in.

Its vectors are tf-idf, its weights minimise the head's own loss with an L2 penalty. What a text has twice counts twice
in its length too, not four times, so that every n-gram adds to the logits by itself (kernels/ngram_linear.py). Fitted
together with the network it would leave that little to learn; so the two are fitted apart, and two numbers, fitted to
the validation texts, say how much each counts (stacking, Wolpert 1992).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags
from threadpoolctl import threadpool_limits

from textcnn.config import WideConfig
from textcnn.kernels.ngram_linear import NgramLinear, ngrams_of
from textcnn.nn.heads.multi_label import MultiLabel
from textcnn.nn.model import Network
from textcnn.train.loop import Examples
from textcnn.train.objective import make_loss
from textcnn.types import UNKNOWN_ID, Floats, TokenBatch

MOST_STEPS = 100  # of L-BFGS
SMALL = 1e-5  # its tolerances
EQUAL = 0.5  # what each part counts where no validation text says otherwise
MOST = 5.0
MOST_WEIGHTS = 10_000_000  # of all labels together: 40 MB of a model, and 2 GB for L-BFGS, which has 25 times as many
Exact = npt.NDArray[np.float64]
Loss = Callable[[Exact], tuple[float, Exact]]


def fit_wide(
    network: Network, train: Examples, config: WideConfig, *, class_weights: npt.NDArray[np.float32] | None,
    tell: Callable[[float], None] = lambda share: None,
) -> NgramLinear:  # fmt: skip
    """The linear classifier of the kind that the network's head is, on the n-grams of the training texts.

    `tell` is called with the share of the steps that are behind; there may be fewer than it says.
    """
    classes = network.head.linear.out_features
    keys, counts = _count(train.texts, config, most=min(config.max_ngrams, MOST_WEIGHTS // classes))
    scale = np.log((1 + counts.shape[0]) / (1 + np.bincount(counts.indices, minlength=len(keys)))) + 1
    lengths = np.sqrt(counts @ scale**2)  # as if an n-gram that is there twice were two
    over = np.divide(1.0, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
    vectors = (diags(over) @ counts @ diags(scale)).tocsr()
    loss = _loss_of(network, train.targets, class_weights)
    # the loss of a text is a sum, but a mean over the labels where any number of them may be right
    penalty = 1 / (config.c * len(train.texts) * (classes if isinstance(network.head, MultiLabel) else 1))

    def objective(flat: Exact) -> tuple[float, Exact]:
        weight, bias = flat[:-classes].reshape(-1, classes), flat[-classes:]
        value, gradient = loss(vectors @ weight + bias)
        value += penalty / 2 * float(np.vdot(weight, weight))
        return value, np.concatenate([(vectors.T @ gradient + penalty * weight).ravel(), gradient.sum(axis=0)])

    steps = count(1)
    # threads of BLAS that wait for work take the cores from torch's: four times slower
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            objective, np.zeros((len(keys) + 1) * classes), jac=True, method="L-BFGS-B",
            options={"maxiter": MOST_STEPS, "ftol": SMALL, "gtol": SMALL},
            callback=lambda _: tell(next(steps) / MOST_STEPS),
        ).x  # fmt: skip
    weight, bias = found[:-classes].reshape(-1, classes), found[-classes:]
    return NgramLinear(
        keys, scale.astype(np.float32), (weight * scale[:, None]).astype(np.float32), bias.astype(np.float32)
    )


def wide_logits(wide: NgramLinear, batch: TokenBatch) -> Floats:
    """float32[B, C]."""
    out = np.zeros((len(batch), len(wide.bias)), np.float32)
    wide.add_logits(batch.values, batch.offsets, out)
    return out


def weigh(network: Network, deep: Floats, wide: Floats, targets: npt.NDArray[Any]) -> tuple[float, float]:
    """How much the logits of each part count where the loss of both together is least; `targets` of the same texts.

    Few texts say little: it is as if one more had wanted EQUAL parts. Texts that all have one label say nothing.
    """
    if len(np.unique(targets, axis=0)) == 1:
        return EQUAL, EQUAL
    loss = _loss_of(network, targets, None)
    exact = np.stack([deep, wide]).astype(np.float64)

    def objective(shares: Exact) -> tuple[float, Exact]:
        value, gradient = loss(np.tensordot(shares, exact, 1))
        pull = (shares - EQUAL) / len(targets)
        return value + float(pull @ (shares - EQUAL)) / 2, (exact * gradient).sum(axis=(1, 2)) + pull

    found = minimize(objective, np.full(2, EQUAL), jac=True, method="L-BFGS-B", bounds=[(0.0, MOST)] * 2).x
    return float(found[0]), float(found[1])


def _count(texts: TokenBatch, config: WideConfig, *, most: int) -> tuple[npt.NDArray[np.int64], Any]:
    """The keys of the `most` frequent n-grams, ascending, and how often each text has each: a sparse matrix."""
    assert isinstance(config.ngrams, int), "resolve has settled it"
    kept: list[npt.NDArray[np.int64]] = []
    rows, columns = [], []
    # where words are spelled, unknown ones have ids beyond the vocabulary that mean nothing in another batch
    values = np.where(texts.unknown, UNKNOWN_ID, texts.values)
    for size in range(1, config.ngrams + 1):
        keys, text, _ = ngrams_of(values, texts.offsets, size)
        unique, place, often = np.unique(keys, return_inverse=True, return_counts=True)
        # most n-grams of several tokens stand in one place only; without them the rest is small
        stays = often >= (config.min_count if size > 1 else 1)
        first = sum(len(part) for part in kept)
        kept.append(unique[stays])
        there = stays[place]
        rows.append(text[there])
        columns.append((first + np.cumsum(stays) - 1)[place[there]])
    unique, row, column = (np.concatenate(parts) for parts in (kept, rows, columns))
    counts = csr_matrix((np.ones(len(row)), (row, column)), shape=(len(texts), len(unique)))
    counts.sum_duplicates()
    texts_with = np.bincount(counts.indices, minlength=len(unique))
    sizes = np.repeat(np.arange(1, config.ngrams + 1), [len(part) for part in kept])
    wanted = np.flatnonzero((sizes == 1) | (texts_with >= config.min_count))
    if len(wanted) > most:
        # of equals the shorter ones, then in the order of their ids
        order = np.lexsort((unique[wanted], sizes[wanted], -texts_with[wanted]))
        wanted = np.sort(wanted[order[:most]])
    return unique[wanted], counts[:, wanted].tocsr()


def _loss_of(network: Network, targets: npt.NDArray[Any], class_weights: npt.NDArray[np.float32] | None) -> Loss:
    """The loss of the network's head of logits float64[N, C], and its gradient."""
    criterion, wanted = make_loss(network, None, class_weights), torch.from_numpy(targets)

    def loss(logits: Exact) -> tuple[float, Exact]:
        answers = torch.from_numpy(logits).float().requires_grad_()
        value = network.head.loss(answers, wanted, criterion)
        value.backward()
        assert answers.grad is not None
        return value.item(), answers.grad.numpy().astype(np.float64)

    return loss
