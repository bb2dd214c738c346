"""What a quick linear model learns from the data: rows that look mislabelled, words that give a label away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import ComplementNB

from textcnn.data.labels import LabelSet
from textcnn.doctor.findings import Finding, Suspect, count
from textcnn.doctor.table import Table
from textcnn.types import Offsets

Exact = npt.NDArray[np.float64]

FOLDS = 5
# A row is named where another label is so many times as probable as its own, to a model that has not seen the row.
TIMES = 12.0
# Passes over the data: as many as give this number of steps, between the two bounds.
STEPS, FEWEST, MOST = 300_000, 3, 10
# Labels times rows that the gradient steps get through in seconds; beyond, naive Bayes alone.
LARGE = 2_000_000
# A word gives its label away when so much of what has it is of that label, and so much of the label has it.
PURE, COMMON = 0.97, 0.2
_SMALLEST = 1e-6


def mislabelled(table: Table, tell: Callable[[float], None]) -> Iterator[Finding]:
    """Rows whose label a model trained on the others finds improbable: confident learning (Northcutt et al. 2021).

    Two linear models on words and word pairs, naive Bayes and logistic regression, are averaged. `tell` gets the share
    that is done, 0 to 1. Equal texts are in one fold, or a row would vouch for its copy.
    """
    names = LabelSet.from_labels(table.labels)
    targets = names.encode(table.labels)
    if np.bincount(targets).min() < 2 or len(names) < 2 or not _shared(table.words_and_pairs).any():
        return
    probabilities = out_of_fold(table, targets, tell)
    rows = np.arange(len(table))
    own = probabilities[rows, targets]
    others = probabilities.copy()
    others[rows, targets] = 0.0
    better, ratio = others.argmax(axis=1), others.max(axis=1) / own
    named = np.flatnonzero(ratio >= TIMES)
    named = named[np.argsort(-ratio[named], kind="stable")]
    accuracy = float((probabilities.argmax(axis=1) == targets).mean())
    if len(named):
        yield Finding(
            "mislabelled",
            "warning",
            f"{count(len(named), 'row looks', 'rows look')} mislabelled: a quick model that did not see them is sure "
            f"of another label (it agrees with {accuracy:.1%} of all labels); the most striking come first",
            tuple(
                Suspect(
                    int(table.rows[i]),
                    f"labelled {table.labels[i]!r}, looks like {names.names[better[i]]!r} ({ratio[i]:,.0f} to 1)",
                    names.names[better[i]],
                )
                for i in named.tolist()
            ),
            {"rows": len(named), "quick_model_accuracy": accuracy},
        )


def out_of_fold(table: Table, targets: Offsets, tell: Callable[[float], None]) -> Exact:
    """The probability of each label by models that did not see the row, float64[N, labels]."""
    features = _weighed(table.words_and_pairs)
    count_of_labels = int(targets.max()) + 1
    passes = int(np.clip(STEPS // len(table), FEWEST, MOST))
    result = np.full((len(table), count_of_labels), _SMALLEST)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    # the fold of the first of equal texts is that of them all
    first_of: dict[str, int] = {}
    first = np.array([first_of.setdefault(key, i) for i, key in enumerate(table.keys)])
    distinct = np.unique(first)
    fold_of = np.zeros(len(table), np.int64)
    few = np.bincount(targets[distinct], minlength=count_of_labels)
    split = folds.split(distinct, targets[distinct]) if few[few > 0].min() >= FOLDS else _any_folds(len(distinct))
    for fold, (_, inside) in enumerate(split):
        fold_of[distinct[inside]] = fold
    fold_of = fold_of[first]
    for fold in range(FOLDS):
        learn, ask = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        known = np.unique(targets[learn])
        if len(known) > 1 and len(ask):
            logs = [np.log(_bayes(features[learn], targets[learn], features[ask]))]
            if len(known) * len(learn) <= LARGE:
                logs.append(np.log(_linear(features[learn], targets[learn], features[ask], passes, fold)))
            result[np.ix_(ask, known)] = np.exp(np.mean(logs, axis=0))
        tell((fold + 1) / FOLDS)
    return result


def _any_folds(rows: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    order = np.random.default_rng(0).permutation(rows)
    return ((order, part) for part in np.array_split(order, FOLDS))


def _bayes(learn: csr_matrix, targets: Offsets, ask: csr_matrix) -> Exact:
    model = ComplementNB(alpha=0.3).fit(learn, targets)
    return np.maximum(model.predict_proba(ask), _SMALLEST)  # type: ignore[no-any-return]


def _linear(learn: csr_matrix, targets: Offsets, ask: csr_matrix, passes: int, seed: int) -> Exact:
    model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=passes, tol=None, random_state=seed, n_jobs=-1)
    return np.maximum(model.fit(learn, targets).predict_proba(ask), _SMALLEST)  # type: ignore[no-any-return]


def _weighed(counts: csr_matrix) -> csr_matrix:
    """tf-idf of what at least two texts have."""
    weighed: csr_matrix = TfidfTransformer(sublinear_tf=True).fit_transform(counts[:, _shared(counts)])
    return weighed


def _shared(counts: csr_matrix) -> npt.NDArray[np.bool_]:
    texts_with: npt.NDArray[np.int64] = np.bincount(counts.indices, minlength=counts.shape[1])
    return texts_with >= 2


def shortcuts(table: Table) -> Iterator[Finding]:
    """Words that nearly only one label has, and much of it: a model may learn them and nothing else."""
    names = LabelSet.from_labels(table.labels)
    if len(names) < 2:
        return
    targets = names.encode(table.labels)
    ids, vocabulary = table.ids, len(table.tokenizer)
    row = np.repeat(np.arange(len(ids)), ids.lengths)
    has = csr_matrix((np.ones(len(row), np.int32), (row, ids.values)), shape=(len(ids), vocabulary))
    has.sum_duplicates()
    has.data[:] = 1  # a word once a text
    of_text = csr_matrix((np.ones(len(ids), np.int32), (np.arange(len(ids)), targets)))
    texts = np.bincount(has.indices, minlength=vocabulary)
    of_label = np.bincount(targets, minlength=len(names))
    both = (has.T @ of_text).tocoo()
    word, label, with_both = both.row, both.col, both.data
    found = (with_both >= PURE * texts[word]) & (with_both >= COMMON * of_label[label]) & (with_both >= 10)
    order = np.flatnonzero(found)[np.argsort(-with_both[found] / of_label[label[found]], kind="stable")]
    if not len(order):
        return
    listed = [
        {
            "word": table.tokenizer.tokens[word[i]],
            "label": names.names[label[i]],
            "of_the_word": float(with_both[i] / texts[word[i]]),
            "of_the_label": float(with_both[i] / of_label[label[i]]),
        }
        for i in order
    ]
    said = ", ".join(
        f"{w['word']!r} ({w['of_the_label']:.0%} of {w['label']!r}, {w['of_the_word']:.0%} of where it stands)"
        for w in listed[:5]
    )
    per_label = Counter(str(entry["label"]) for entry in listed)
    yield Finding(
        "shortcuts",
        "warning" if max(entry["of_the_label"] for entry in listed) >= 0.5 else "note",
        f"{count(len(listed), 'word gives', 'words give')} a label away: {said}; "
        "make sure that real texts have them too",
        figures={"words": listed, "by_label": dict(per_label)},
    )
