"""What a quick linear model learns from the data: rows that look mislabelled, words that give a label away."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import ComplementNB
from sklearn.preprocessing import StandardScaler

from textcnn.data.labels import LabelSet
from textcnn.doctor.findings import Finding, Suspect, count
from textcnn.doctor.table import Table
from textcnn.types import Bools, Exact, Offsets

# features and targets to learn from, features to ask about -> probabilities of the labels learned, in their order
Learner = Callable[[csr_matrix, Offsets, csr_matrix], Exact]

# Texts of so many characters together, and so many labels times rows, are looked at closely, in so many folds; more of
# them less so, in fewer. Where characters times labels are not more than MOST_CLOSELY, by more models and twice: 25
# seconds of processor time at most.
CLOSELY, CLOSELY_LABELS, MOST_CLOSELY = 3_000_000, 200_000, 5_000_000
FOLDS, CLOSE_FOLDS = 5, 10
# A row is named where another label is so many times as probable as its own, to models that have not seen the row.
TIMES = 15.0
# Passes over the data: as many as give this number of steps, between the two bounds.
STEPS, FEWEST, MOST = 300_000, 3, 10
# Labels times rows that the gradient steps get through in seconds; beyond, naive Bayes alone.
LARGE = 2_000_000
# The models are weighed for each label where there are not more labels, on so many rows; with so strong a prior.
MOST_WEIGHED, WEIGHED_ROWS, PRIOR = 20, 20_000, 160.0
# Characters in an n-gram, and of a text.
CHARACTERS, BEGINNING = (2, 5), 400
# A word gives its label away when so much of what has it is of that label, and so much of the label has it.
PURE, COMMON = 0.97, 0.2
# So many texts of other labels would have the word if it said nothing; where nearly all texts have one label, all its
# words are pure.
OTHERS_EXPECTED = 5
_SMALLEST = 1e-6


def mislabelled(table: Table, tell: Callable[[float], None]) -> Iterator[Finding]:
    """Rows whose label models trained on the others find improbable: confident learning (Northcutt et al. 2021).

    The models are linear: naive Bayes, logistic regression, and both in one. Equal texts are in one fold, or a row
    would vouch for its copy. Labels with one row are passed over. `tell` gets the share that is done, 0 to 1.
    """
    counts = Counter(table.labels)
    if min(counts.values()) < 2:  # of a label with one row nothing is left to learn when that is held out
        several = [i for i, label in enumerate(table.labels) if counts[label] > 1]
        table = replace(
            table,
            texts=[table.texts[i] for i in several],
            labels=[table.labels[i] for i in several],
            rows=table.rows[several],
        )
    names = LabelSet.from_labels(table.labels)
    targets = names.encode(table.labels)
    if len(names) < 2 or not _shared(table.words_and_pairs).any():
        return
    doubts = doubts_of(table, targets, tell)
    named = np.flatnonzero(doubts.named)
    named = named[np.argsort(-doubts.ratio[named], kind="stable")]
    if len(named):
        yield Finding(
            "mislabelled",
            "warning",
            f"{count(len(named), 'row looks', 'rows look')} mislabelled: quick models that did not see them are sure "
            f"of another label (they agree with {doubts.agreed:.1%} of all labels); the most striking come first",
            tuple(
                Suspect(
                    int(table.rows[i]),
                    f"labelled {table.labels[i]!r}, looks like {names.names[doubts.better[i]]!r} "
                    f"({doubts.odds[i]:,.0f} to 1)",
                    names.names[doubts.better[i]],
                )
                for i in named.tolist()
            ),
            {"rows": len(named), "quick_model_accuracy": doubts.agreed},
        )


class Doubts(NamedTuple):
    """Of each row how many times as probable as its own the likeliest other label is, float64[N]; that label's index,
    int64[N]; the same ratio as it is before doubted rows are left out, float64[N], by which a row is named; and whether
    it is, bool[N]. `agreed`: the share of labels that were foretold.
    """

    ratio: Exact
    better: Offsets
    odds: Exact
    named: Bools
    agreed: float


def doubts_of(table: Table, targets: Offsets, tell: Callable[[float], None]) -> Doubts:
    """What models that did not see a row think of its label: the mean over the partitions into folds."""
    labels, characters = int(targets.max()) + 1, sum(map(len, table.texts))
    size = labels * len(table)
    closely = characters <= CLOSELY and size <= CLOSELY_LABELS
    most_closely = closely and characters * (labels if labels > 2 else 1) <= MOST_CLOSELY
    models = _models(table, size, closely=closely, most_closely=most_closely)
    found: list[tuple[list[Exact], Offsets]] = []
    for part in range(parts := 2 if most_closely else 1):
        fold_of = _folds(table, targets, CLOSE_FOLDS if closely else FOLDS, seed=part)
        logs: list[Exact] = []
        for features, learner in models:
            done = part + len(logs) / len(models)
            logs.append(
                _asked(features, targets, fold_of, learner, partial(_tell_part, tell, done, len(models), parts))
            )
        found.append((logs, fold_of))
    mean: Exact = np.mean([log for logs, _ in found for log in logs], axis=0)
    first, judged = _judged(found, targets) if labels <= MOST_WEIGHED else (mean, mean)
    tell(1.0)
    ratio, better = _over_own(judged, targets)
    # Weighed, they know how often labels are wrong here, and where that is often they grant every label its chance;
    # the mean does not. Weighed without doubted rows, they rank better and take themselves to be surer than they are.
    odds = np.maximum(_over_own(first, targets)[0], _over_own(mean, targets)[0])
    named = (odds >= TIMES) & _better_than_chance(mean, targets)
    return Doubts(ratio, better, odds, named, float((judged.argmax(axis=1) == targets).mean()))


def _judged(found: Sequence[tuple[list[Exact], Offsets]], targets: Offsets) -> tuple[Exact, Exact]:
    """Log-probabilities by the models weighed together; and weighed anew without the rows that this doubts."""

    def weighed(trusted: Bools) -> Exact:
        parts = [np.log(_together(logs, targets, fold_of, trusted)) for logs, fold_of in found]
        mean: Exact = np.mean(parts, axis=0)
        return mean

    first = weighed(np.ones(len(targets), bool))
    doubted = _over_own(first, targets)[0] >= TIMES
    # a label most of whose rows are doubted is hard, not wrong
    share = np.bincount(targets, doubted) / np.maximum(np.bincount(targets), 1)
    trusted = ~doubted | (share > 0.5)[targets]
    return first, first if trusted.all() else weighed(trusted)


def _better_than_chance(logs: Exact, targets: Offsets) -> bool:
    """Whether more of each label was foretold, on average, than chance foretells, by two standard errors."""
    rows = np.bincount(targets)
    right = np.bincount(targets, logs.argmax(axis=1) == targets)[rows > 0] / rows[rows > 0]
    chance = 1.0 / len(right)
    spread = np.sqrt((chance * (1.0 - chance) / rows[rows > 0]).sum()) / len(right)
    return bool(right.mean() > chance + 2.0 * spread)


def _tell_part(tell: Callable[[float], None], done: float, models: int, parts: int, share: float) -> None:
    """`share` of one of the models of one of the partitions; the last step is not done yet."""
    tell(0.99 * (done + share / models) / parts)


def _over_own(logs: Exact, targets: Offsets) -> tuple[Exact, Offsets]:
    rows = np.arange(len(targets))
    others = logs.copy()
    others[rows, targets] = -np.inf
    return np.exp(others.max(axis=1) - logs[rows, targets]), others.argmax(axis=1)


def _models(table: Table, size: int, *, closely: bool, most_closely: bool) -> list[tuple[csr_matrix, Learner]]:
    """What is learned from, and how. `size` is labels times rows."""
    passes = int(np.clip(STEPS // len(table), FEWEST, MOST))
    learners: list[Learner] = [_bayes]
    if size <= LARGE:
        learners.append(partial(_linear, passes=passes))
    if not closely:
        return [(_weighed(table.words_and_pairs), learner) for learner in learners]
    words, characters = _weighed(table.wider_words), _weighed(_characters(table.texts))
    models = [(features, learner) for features in (words, characters) for learner in learners]
    if not most_closely:
        return models
    pairs = _weighed(table.distant_pairs)
    models += [(pairs, learner) for learner in learners]
    if size <= MOST_WEIGHED * len(table):
        models.append((words, _bayes_linear))
    return models


def _folds(table: Table, targets: Offsets, folds: int, *, seed: int) -> Offsets:
    """The fold of each row, int64[N]; equal texts are in the fold of the first of them."""
    first_of: dict[str, int] = {}
    first = np.array([first_of.setdefault(key, i) for i, key in enumerate(table.keys)])
    distinct = np.unique(first)
    fold_of = np.zeros(len(table), np.int64)
    counts = np.bincount(targets[distinct])
    if counts[counts > 0].min() >= folds:
        split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(distinct, targets[distinct])
        parts = [inside for _, inside in split]
    else:
        parts = np.array_split(np.random.default_rng(seed).permutation(len(distinct)), folds)
    for fold, inside in enumerate(parts):
        fold_of[distinct[inside]] = fold
    chosen: Offsets = fold_of[first]
    return chosen


def _asked(
    features: csr_matrix, targets: Offsets, fold_of: Offsets, learner: Learner, tell: Callable[[float], None]
) -> Exact:
    """Log-probabilities of each fold's labels by `learner`, trained on the others, float64[N, labels].

    `tell` gets the share of the folds that is behind.
    """
    result = np.full((len(targets), int(targets.max()) + 1), _SMALLEST)
    for fold in range(int(fold_of.max()) + 1):
        learn, ask = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        known = np.unique(targets[learn])
        if len(known) > 1 and len(ask):
            result[np.ix_(ask, known)] = learner(features[learn], targets[learn], features[ask])
        tell((fold + 1) / (int(fold_of.max()) + 1))
    logs: Exact = np.log(np.maximum(result, _SMALLEST))
    return logs


def _together(logs: Sequence[Exact], targets: Offsets, fold_of: Offsets, trusted: Bools) -> Exact:
    """One probability from the log-probabilities of the models, float64[N, labels] each; learned from `trusted` rows.

    Each answer of each model is weighed for each label (stacked generalization, Wolpert 1992): which of them are to be
    trusted, and which labels are easily taken for another. Of a row's fold nothing is learned for it here either.
    """
    said = StandardScaler().fit_transform(np.hstack(logs))
    chosen = np.zeros(len(targets), bool)
    chosen[np.random.default_rng(0).permutation(len(targets))[:WEIGHED_ROWS]] = True
    chosen &= trusted
    result: Exact = np.exp(np.mean(logs, axis=0))
    for fold in range(int(fold_of.max()) + 1):
        learn, ask = np.flatnonzero(chosen & (fold_of != fold)), np.flatnonzero(fold_of == fold)
        known = np.unique(targets[learn])
        if len(known) > 1 and len(ask):
            model = LogisticRegression(C=PRIOR / len(learn), max_iter=200).fit(said[learn], targets[learn])
            result[ask] = _SMALLEST
            result[np.ix_(ask, known)] = np.maximum(model.predict_proba(said[ask]), _SMALLEST)
    return result


def _bayes(learn: csr_matrix, targets: Offsets, ask: csr_matrix) -> Exact:
    found: Exact = ComplementNB(alpha=0.3).fit(learn, targets).predict_proba(ask)
    return found


def _linear(learn: csr_matrix, targets: Offsets, ask: csr_matrix, *, passes: int) -> Exact:
    model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=passes, tol=None, random_state=0, n_jobs=-1)
    found: Exact = model.fit(learn, targets).predict_proba(ask)
    return found


def _bayes_linear(learn: csr_matrix, targets: Offsets, ask: csr_matrix) -> Exact:
    """Logistic regression of each label against the rest, its features weighed by naive Bayes' log-count ratio.

    Wang and Manning (2012), where it was the strongest linear model on short texts.
    """
    has = learn.copy()
    has.data[:] = 1.0
    texts = np.asarray(has.sum(axis=0)).ravel() + 2.0
    columns = []
    labels = np.unique(targets)
    for label in labels[1:] if len(labels) == 2 else labels:
        own = np.asarray(has[targets == label].sum(axis=0)).ravel() + 1.0
        others = texts - own
        ratio = np.log(own / own.sum()) - np.log(others / others.sum())
        model = LogisticRegression(solver="liblinear", dual=True, tol=0.01, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough, and bounded in time
            model.fit(learn.multiply(ratio).tocsr(), targets == label)
        columns.append(model.predict_proba(ask.multiply(ratio).tocsr())[:, 1])
    found: Exact = np.stack(columns if len(labels) > 2 else [1.0 - columns[0], columns[0]], axis=1)
    found /= np.maximum(found.sum(axis=1, keepdims=True), _SMALLEST)
    return found


def _characters(texts: Sequence[str]) -> csr_matrix:
    """How often each n-gram of characters within words stands in the beginning of each text."""
    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=CHARACTERS, norm=None, alternate_sign=False)
    counts: csr_matrix = hashed.transform([text[:BEGINNING] for text in texts])
    return counts


def _weighed(counts: csr_matrix) -> csr_matrix:
    """tf-idf of what at least two texts have."""
    weighed: csr_matrix = TfidfTransformer(sublinear_tf=True).fit_transform(counts[:, _shared(counts)])
    return weighed


def _shared(counts: csr_matrix) -> Bools:
    texts_with: Offsets = np.bincount(counts.indices, minlength=counts.shape[1])
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
    found &= texts[word] * (1 - of_label[label] / len(ids)) >= OTHERS_EXPECTED
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
