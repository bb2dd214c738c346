"""Stratified splits and folds that keep identical texts together, the same for the same seed on every machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textcnn.errors import ConfigError, LabelError
from textcnn.types import Offsets


class Group(NamedTuple):
    """Rows with the same text, which must stay on one side. The label is that of the first row."""

    label: str
    rows: list[int]


def text_key(text: str) -> str:
    """Texts that differ only in case and white space count as identical."""
    return " ".join(text.casefold().split())


def stratified_split(
    texts: Sequence[str], labels: Sequence[str], *, fraction: float, seed: int
) -> tuple[Offsets, Offsets]:
    """Indices kept and indices held out, int64, both sorted.

    Each label gives its share of `fraction`, as near as whole groups of identical texts allow, but never all its rows:
    every label keeps at least one. Where something is to be held out and can be, at least one row is.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"fraction: expected at least 0 and less than 1, found {fraction}")
    strata = _shuffled_strata(texts, labels, seed)
    wanted = _shares([sum(len(group.rows) for group in groups) for groups in strata], fraction)
    held: set[int] = set()
    for groups, share in zip(strata, wanted, strict=True):
        held.update(_take(groups, share))
    if not held and fraction > 0:
        held.update(_smallest_spare(strata))
    _give_back(held, strata, labels)
    side = np.zeros(len(texts), bool)
    side[list(held)] = True
    return np.flatnonzero(~side), np.flatnonzero(side)


def cross_validation_folds(labels: Sequence[str], texts: Sequence[str], *, folds: int, seed: int) -> list[Offsets]:
    """The rows of each fold, int64, sorted; every row is in one fold. Train on the others, test on this one.

    Each label is spread as evenly as whole groups of identical texts allow.
    """
    strata = _shuffled_strata(texts, labels, seed)
    distinct = sum(len(groups) for groups in strata)
    if folds < 2:
        raise ConfigError(f"folds: expected at least 2, found {folds}")
    if folds > distinct:
        raise LabelError(f"{folds} folds need at least {folds} different texts, found {distinct}; ask for fewer folds")
    dealt: list[list[int]] = [[] for _ in range(folds)]
    for groups in strata:
        of_label = [0] * folds
        # large groups first, so that the small ones can even out
        for group in sorted(groups, key=lambda group: -len(group.rows)):
            fold = min(range(folds), key=lambda i: (of_label[i], len(dealt[i])))
            of_label[fold] += len(group.rows)
            dealt[fold] += group.rows
    return [np.array(sorted(rows), np.int64) for rows in dealt]


def _shuffled_strata(texts: Sequence[str], labels: Sequence[str], seed: int) -> list[list[Group]]:
    """The groups of each label in random order, labels sorted."""
    assert len(texts) == len(labels), (len(texts), len(labels))
    groups: dict[str, Group] = {}
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        groups.setdefault(text_key(text), Group(label, [])).rows.append(row)
    strata: dict[str, list[Group]] = defaultdict(list)
    for group in groups.values():
        strata[group.label].append(group)
    random = np.random.default_rng(seed)
    return [[strata[label][i] for i in random.permutation(len(strata[label]))] for label in sorted(strata)]


def _shares(sizes: Sequence[int], fraction: float) -> list[int]:
    """Rows to hold out of each label: rounded down, and the largest remainders up until the sum is right."""
    exact = np.array(sizes, np.float64) * fraction
    shares = np.floor(exact).astype(int)
    missing = round(float(exact.sum())) - int(shares.sum())
    for index in np.argsort(shares - exact, kind="stable")[:missing]:
        shares[index] += 1
    return [int(share) for share in shares]


def _take(groups: Sequence[Group], share: int) -> list[int]:
    """Rows of groups that bring the number of rows nearer to `share`, never of all groups."""
    rows: list[int] = []
    taken = 0
    for group in groups:
        if taken < len(groups) - 1 and len(group.rows) <= 2 * (share - len(rows)):
            rows += group.rows
            taken += 1
    return rows


def _smallest_spare(strata: Sequence[Sequence[Group]]) -> list[int]:
    """The smallest group of the label with the most groups, if it has another."""
    groups = max(strata, key=len, default=[])
    return min(groups, key=lambda group: len(group.rows)).rows if len(groups) > 1 else []


def _give_back(held: set[int], strata: Sequence[Sequence[Group]], labels: Sequence[str]) -> None:
    """A label whose rows stand under texts of other labels may have lost them all; one of its texts returns."""
    kept = {label for row, label in enumerate(labels) if row not in held}
    if len(kept) == len(set(labels)):
        return
    for groups in strata:
        for group in groups:
            if held.issuperset(group.rows) and not kept.issuperset(labels[row] for row in group.rows):
                held.difference_update(group.rows)
                kept.update(labels[row] for row in group.rows)
