"""The wide part of a model (Cheng et al. 2016): a linear classifier on n-grams, fitted by itself and weighed in.

Its vectors are tf-idf, its weights minimise the head's own loss with an L2 penalty. What a text has twice counts twice
in its length too, not four times, so that every n-gram adds to the logits by itself (kernels/ngram_linear.py). Fitted
together with the network it would leave that little to learn; so the two are fitted apart, and two numbers, fitted to
the validation texts, say how much each counts (stacking, Wolpert 1992).

Words share what their character n-grams weigh: the vector of a text has, for each of its words, those of the word as
well. For words of the vocabulary they are added to the weight of the word when all is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags, hstack, vstack
from threadpoolctl import threadpool_limits

from textcnn.config import WideConfig
from textcnn.kernels.character_ngrams import CharacterNgrams, character_ngrams
from textcnn.kernels.ngram_linear import ID_BITS, NgramLinear, ngrams_of
from textcnn.nn.heads.multi_label import MultiLabel
from textcnn.nn.model import Network
from textcnn.text.spelling import letters_of
from textcnn.train.loop import Examples
from textcnn.train.objective import make_loss
from textcnn.types import UNKNOWN_ID, Floats, TokenBatch

MOST_STEPS = 100  # of L-BFGS
SMALL = 1e-5  # its tolerances
EQUAL = 0.5  # what each part counts where no validation text says otherwise
MOST = 5.0
SPELLED = 2.0  # squared length of what a word is spelled with, where that of the word is 1
MIN_WORDS = 3  # of the vocabulary that a character n-gram has to be in: of fewer it says little that they do not
MOST_WEIGHTS = 10_000_000  # of all labels together: 40 MB of a model, and 2 GB for L-BFGS, which has 25 times as many
Exact = npt.NDArray[np.float64]
Loss = Callable[[Exact], tuple[float, Exact]]


def fit_wide(
    network: Network, train: Examples, config: WideConfig, *, tokens: Sequence[str],
    class_weights: npt.NDArray[np.float32] | None, tell: Callable[[float], None] = lambda share: None,
) -> NgramLinear:  # fmt: skip
    """The linear classifier of the kind that the network's head is, on the n-grams of the training texts.

    `tokens` are the words by id. `tell` is called with the share of the steps that are behind; there may be fewer than
    it says.
    """
    classes = network.head.linear.out_features
    most = min(config.max_ngrams, MOST_WEIGHTS // (classes * (2 if config.characters else 1)))
    keys, counts = _count(train.texts, config, most=most)
    scale = np.log((1 + counts.shape[0]) / (1 + np.bincount(counts.indices, minlength=len(keys)))) + 1
    squares = counts @ scale**2  # as if an n-gram that is there twice were two
    spelled = _spell(train.texts, config, tokens, keys, counts, scale, most=most) if config.characters else None
    if spelled:
        squares += spelled.counts @ spelled.lengths**2
    over = np.divide(1.0, np.sqrt(squares), out=np.zeros(len(squares)), where=squares > 0)
    vectors = (diags(over) @ counts @ diags(scale)).tocsr()
    words: Any = (diags(over) @ spelled.counts).tocsr() if spelled else None
    loss = _loss_of(network, train.targets, class_weights)
    # the loss of a text is a sum, but a mean over the labels where any number of them may be right
    penalty = 1 / (config.c * len(train.texts) * (classes if isinstance(network.head, MultiLabel) else 1))

    def objective(flat: Exact) -> tuple[float, Exact]:
        weight, bias = flat[:-classes].reshape(-1, classes), flat[-classes:]
        logits = vectors @ weight[: len(keys)] + bias
        if spelled:  # never text by character n-gram, which would be twenty times as many numbers
            logits += words @ (spelled.vectors @ weight[len(keys) :])
        value, gradient = loss(logits)
        value += penalty / 2 * float(np.vdot(weight, weight))
        slope = penalty * weight
        slope[: len(keys)] += vectors.T @ gradient
        if spelled:
            slope[len(keys) :] += spelled.vectors.T @ (words.T @ gradient)
        return value, np.concatenate([slope.ravel(), gradient.sum(axis=0)])

    steps = count(1)
    # threads of BLAS that wait for work take the cores from torch's: four times slower
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            objective, np.zeros((len(keys) + (len(spelled.keys) if spelled else 0) + 1) * classes), jac=True,
            method="L-BFGS-B", options={"maxiter": MOST_STEPS, "ftol": SMALL, "gtol": SMALL},
            callback=lambda _: tell(next(steps) / MOST_STEPS),
        ).x  # fmt: skip
    weight, bias = found[:-classes].reshape(-1, classes), found[-classes:]
    own, shared = weight[: len(keys)] * scale[:, None], weight[len(keys) :]
    if not spelled:
        return NgramLinear(keys, scale.astype(np.float32), own.astype(np.float32), bias.astype(np.float32))
    return _folded(spelled, keys, scale, own, shared, bias, train.texts, tokens, config)


def wide_logits(wide: NgramLinear, batch: TokenBatch) -> Floats:
    """float32[B, C]."""
    out = np.zeros((len(batch), len(wide.bias)), np.float32)
    wide.add_logits(batch, out)
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


@dataclass(frozen=True, eq=False)
class _Spelled:
    """How often each text has each of W words, and what these are spelled with: W rows of G character n-grams.

    The first words are those that are n-grams by themselves, in the order of their keys; then come unknown ones.
    """

    counts: Any  # sparse [N, W]
    vectors: Any  # sparse [W, G]
    lengths: Exact  # of these vectors
    keys: npt.NDArray[np.int64]
    scale: Exact  # [G]
    unseen: float  # the length of a word that no text has


def _spell(
    texts: TokenBatch, config: WideConfig, tokens: Sequence[str], keys: npt.NDArray[np.int64], counts: Any,
    scale: Exact, *, most: int,
) -> _Spelled | None:  # fmt: skip
    """The words of the texts as their character n-grams; None where no n-gram is in enough words."""
    assert isinstance(config.characters, int), "resolve has settled it"
    single = np.flatnonzero(keys < 1 << ID_BITS)
    known = letters_of([tokens[key] for key in keys[single].tolist()])
    word, found = character_ngrams(known, config.characters)
    unique, place = np.unique(found, return_inverse=True)
    grams = csr_matrix((np.ones(len(place)), (word, place)), shape=(len(known), len(unique)))
    grams.sum_duplicates()
    words_with = np.bincount(grams.indices, minlength=len(unique))
    wanted = np.flatnonzero(words_with >= MIN_WORDS)
    if len(wanted) > most:
        wanted = np.sort(wanted[np.argsort(-words_with[wanted], kind="stable")[:most]])
    if not len(wanted):
        return None
    kept, gram_scale = unique[wanted], np.log((1 + len(known)) / (1 + words_with[wanted])) + 1
    unseen = np.log(1 + len(texts)) + 1  # as the scale of n-grams, in no text
    rows, lengths, counted = [grams[:, wanted]], [scale[single]], [counts[:, single]]
    if texts.spelling and len(texts.spelling.letters):
        outside = texts.spelling.letters
        word, found = character_ngrams(outside, config.characters)
        place = np.minimum(np.searchsorted(kept, found), len(kept) - 1)
        there = kept[place] == found
        shape = len(outside), len(kept)
        rows.append(csr_matrix((np.ones(there.sum()), (word[there], place[there])), shape=shape))
        at = np.flatnonzero(texts.values >= texts.spelling.vocabulary)
        owner = np.searchsorted(texts.offsets, at, side="right") - 1
        ids = texts.values[at] - texts.spelling.vocabulary
        counted.append(csr_matrix((np.ones(len(at)), (owner, ids)), shape=(len(texts), len(outside))))
        lengths.append(np.full(len(outside), unseen))
    vectors = vstack(rows).tocsr()
    squares = vectors @ gram_scale**2
    length = np.sqrt(SPELLED) * np.concatenate(lengths) * (squares > 0)
    over = np.divide(length, np.sqrt(squares), out=np.zeros(len(squares)), where=squares > 0)
    return _Spelled(
        hstack(counted).tocsr(), (diags(over) @ vectors @ diags(gram_scale)).tocsr(), length, kept, gram_scale,
        float(np.float32(np.sqrt(SPELLED) * unseen)),  # as files have it
    )  # fmt: skip


def _folded(
    spelled: _Spelled, keys: npt.NDArray[np.int64], scale: Exact, own: Exact, shared: Exact, bias: Exact,
    texts: TokenBatch, tokens: Sequence[str], config: WideConfig,
) -> NgramLinear:  # fmt: skip
    """With what words are spelled with in the weights of the words, and in a table for other words.

    Words of the vocabulary that no training text has, which come from vectors or another model, are such words as well.
    """
    single = np.flatnonzero(keys < 1 << ID_BITS)
    scale, weight = scale.copy(), own.copy()
    weight[single] += (spelled.vectors @ shared)[: len(single)]
    scale[single] = np.sqrt(scale[single] ** 2 + spelled.lengths[: len(single)] ** 2)
    characters = CharacterNgrams(
        spelled.keys, spelled.scale.astype(np.float32), (shared * spelled.scale[:, None]).astype(np.float32),
        length=spelled.unseen, longest=int(config.characters),
    )  # fmt: skip
    unseen = np.flatnonzero(np.bincount(texts.values, minlength=len(tokens))[: len(tokens)] == 0)
    unseen = unseen[unseen > UNKNOWN_ID]
    rows = characters.rows(letters_of([tokens[word] for word in unseen.tolist()]))
    unseen, rows = unseen[rows[:, 0] > 0], rows[rows[:, 0] > 0]
    keys = np.concatenate([keys, unseen])
    order = np.argsort(keys, kind="stable")
    return NgramLinear(
        keys[order], np.concatenate([scale, rows[:, 0]])[order].astype(np.float32),
        np.concatenate([weight, rows[:, 1:]])[order].astype(np.float32), bias.astype(np.float32), characters,
    )  # fmt: skip


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
