"""Texts that stand there more than once: word for word, nearly, with different labels, or in two splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from textcnn.data.columns import shorten
from textcnn.doctor.findings import Finding, Suspect, count
from textcnn.doctor.table import Table

FOLDS = 10
# Broder (1997): texts share this part of their words and word pairs
ALIKE = 0.8
# 8 bands of 3 minima each: pairs of which 80 % is common meet in a band with probability 0.997, of which 30 %, 0.2
BANDS, ROWS_IN_BAND = 8, 3
# at so many, a text is a sentence rather than an interjection that many people write
SEVERAL_WORDS = 3


def duplicates(table: Table) -> Iterator[Finding]:
    """Equal texts but for case, punctuation and white space; those of them that differ in label are told apart."""
    groups = _groups(table.keys)
    same: list[Suspect] = []
    conflicts: list[Suspect] = []
    for members in groups:
        labels = Counter(table.labels[i] for i in members)
        if len(labels) == 1:
            first = int(table.rows[members[0]])
            same += [Suspect(int(table.rows[i]), f"the same as row {first}") for i in members[1:]]
            continue
        (common, most), (_, second) = labels.most_common(2)
        said = ", ".join(f"{name!r} {times} times" for name, times in labels.most_common())
        for i in members:
            better = common if most > second and table.labels[i] != common else ""
            conflicts.append(Suspect(int(table.rows[i]), f"the same text has the labels {said}", better))
    same.sort(key=lambda suspect: suspect.row)
    if same:
        yield Finding(
            "duplicates",
            "warning",
            f"{count(len(same), 'row repeats', 'rows repeat')} the text and label of another row",
            tuple(same),
            {"rows": len(same)},
        )
    if conflicts:
        texts = len({table.keys[i] for members in groups for i in members} & {*_of(table, conflicts)})
        yield Finding(
            "conflicting_labels",
            "problem",
            f"{count(texts, 'text stands', 'texts stand')} there with different labels "
            f"({count(len(conflicts), 'row')}): no classifier can get them all right",
            tuple(conflicts),
            {"rows": len(conflicts), "texts": texts},
        )
    yield from _across_folds(table, groups)


def _of(table: Table, suspects: Sequence[Suspect]) -> Iterator[str]:
    place = {int(row): i for i, row in enumerate(table.rows)}
    return (table.keys[place[suspect.row]] for suspect in suspects)


def _across_folds(table: Table, groups: Sequence[Sequence[int]]) -> Iterator[Finding]:
    """What cross-validation would leak. textcnn's own splits keep equal texts together."""
    fold_of = np.repeat(np.arange(FOLDS), [len(part) for part in np.array_split(np.arange(len(table)), FOLDS)])
    texts = [text.strip() for text in table.texts]
    folds_with: dict[str, set[int]] = defaultdict(set)
    for text, fold in zip(texts, fold_of.tolist(), strict=True):
        folds_with[text].add(fold)
    in_order = sum(len(folds_with[text]) > 1 for text in texts) / len(table)
    at_random = sum(len(members) * (1 - (1 / FOLDS) ** (len(members) - 1)) for members in groups) / len(table)
    if max(in_order, at_random) >= 0.01:
        yield Finding(
            "leaks_between_folds",
            "warning",
            f"cut into {FOLDS} folds, {in_order:.1%} of the test rows stand in training word for word; of random folds "
            f"it is {at_random:.1%}. textcnn keeps equal texts on one side, other programs may not",
            figures={"in_order": in_order, "at_random": at_random, "folds": FOLDS},
        )


def leaks(table: Table, test: Table) -> Iterator[Finding]:
    """Test texts that stand in the data: as they are, and when case, punctuation and white space do not count."""
    exact, alike = defaultdict(list), defaultdict(list)
    for i, (text, key) in enumerate(zip(table.texts, table.keys, strict=True)):
        exact[text.strip()].append(i)
        alike[key].append(i)
    found = []
    word_for_word = 0
    for i, (text, key) in enumerate(zip(test.texts, test.keys, strict=True)):
        if key not in alike and text.strip() not in exact:
            continue
        word_for_word += text.strip() in exact
        there = exact.get(text.strip()) or alike[key]
        how = "word for word" if text.strip() in exact else "but for case, punctuation and white space"
        other = table.labels[there[0]]
        differs = f", labelled {other!r} there" if other != test.labels[i] else ""
        found.append(
            Suspect(int(test.rows[i]), f"stands in the data, row {table.rows[there[0]]}, {how}{differs}", file="test")
        )
    if found:
        yield Finding(
            "leaks_into_test",
            "problem",
            f"{word_for_word:,} of {count(len(test), 'test text')} stand in the data word for word, {len(found):,} "
            "when case, punctuation and white space do not count: the test figure is too good",
            tuple(found),
            {"word_for_word": word_for_word, "cleaned": len(found), "texts": len(test)},
        )


def near_duplicates(table: Table) -> Iterator[Finding]:
    """Different texts that share most of their words and word pairs, in clusters, by MinHash (Broder 1997)."""
    first_of = list({key: i for i, key in reversed(list(enumerate(table.keys)))}.values())
    several = table.ids.lengths >= SEVERAL_WORDS  # once: it is counted anew whenever it is asked for
    chosen = np.array(sorted(i for i in first_of if several[i]), np.int64)
    features = table.words_and_pairs[chosen]
    pairs = _alike_pairs(features)
    if not len(pairs):
        return
    links = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(chosen), len(chosen)))
    _, cluster = connected_components(links, directed=False)
    suspects = []
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.unique(pairs).tolist():
        members[int(cluster[i])].append(int(chosen[i]))
    for together in members.values():
        first = together[0]
        for i in together[1:]:
            other = table.labels[first]
            differs = f", labelled {other!r} there" if table.labels[i] != other else ""
            suspects.append(Suspect(int(table.rows[i]), f"nearly the same as row {table.rows[first]}{differs}"))
    suspects.sort(key=lambda suspect: suspect.row)
    example = next(iter(members.values()))
    yield Finding(
        "near_duplicates",
        "warning" if len(suspects) >= 0.01 * len(table) else "note",
        f"{count(len(suspects), 'row is', 'rows are')} nearly the same as another, such as "
        f"{shorten(table.texts[example[0]])!r} and {shorten(table.texts[example[1]])!r}",
        tuple(suspects),
        {"rows": len(suspects), "clusters": len(members)},
    )


def _alike_pairs(features: csr_matrix) -> npt.NDArray[np.int64]:
    """Pairs of rows, int64[P, 2], that share ALIKE of what either has."""
    if features.shape[0] < 2:
        return np.zeros((0, 2), np.int64)
    random = np.random.default_rng(0)
    candidates = []
    for _ in range(BANDS):
        minima = np.stack([_minimum(features, random) for _ in range(ROWS_IN_BAND)])
        order = np.lexsort(minima)
        together = (minima[:, order[1:]] == minima[:, order[:-1]]).all(axis=0)
        # neighbours only: that links a cluster just as well as all its pairs, in linear time
        candidates.append(np.stack([order[:-1][together], order[1:][together]], axis=1))
    pairs = np.unique(np.sort(np.concatenate(candidates), axis=1), axis=0)
    if not len(pairs):
        return pairs
    ones = features.astype(bool).astype(np.float32)
    common = np.asarray(ones[pairs[:, 0]].multiply(ones[pairs[:, 1]]).sum(axis=1)).ravel()
    sizes = np.diff(features.indptr)
    share = common / (sizes[pairs[:, 0]] + sizes[pairs[:, 1]] - common)
    kept: npt.NDArray[np.int64] = pairs[share >= ALIKE]
    return kept


def _minimum(features: csr_matrix, random: np.random.Generator) -> npt.NDArray[np.uint32]:
    """The least hashed feature of each row, uint32[N]: multiplied and added modulo 2 ** 32, the high bits mixed in."""
    factor, shift = random.integers(0, 1 << 32, 2, dtype=np.uint32)
    hashed = features.indices.astype(np.uint32) * (factor | np.uint32(1)) + shift
    hashed ^= hashed >> np.uint32(15)
    hashed *= np.uint32(0x2C1B3C6D)
    least: npt.NDArray[np.uint32] = np.minimum.reduceat(hashed, features.indptr[:-1])
    return least


def _groups(keys: Sequence[str]) -> list[list[int]]:
    """Places of equal keys, where there is more than one."""
    places: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        places[key].append(i)
    return [members for members in places.values() if len(members) > 1]
