from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn.data.split import cross_validation_folds, stratified_split, text_key
from textcnn.errors import ConfigError, LabelError

TEXTS = [f"text {n}" for n in range(1000)]
LABELS = ["rare" if n % 10 == 0 else "common" for n in range(1000)]

examples = st.lists(
    st.tuples(st.sampled_from(["a", "A ", "b", "c", "d", "e", "f"]), st.sampled_from("xyz")), max_size=40
)


def test_the_split_covers_every_row_once_and_is_sorted() -> None:
    kept, held = stratified_split(TEXTS, LABELS, fraction=0.1, seed=1)
    assert sorted([*kept, *held]) == list(range(1000))
    assert kept.dtype == held.dtype == np.int64
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_every_label_gives_its_share(fraction: float) -> None:
    _, held = stratified_split(TEXTS, LABELS, fraction=fraction, seed=1)
    assert len(held) == 1000 * fraction
    assert sum(LABELS[row] == "rare" for row in held) == 100 * fraction


def test_many_small_labels_together_give_the_share() -> None:
    labels = [str(n % 150) for n in range(600)]
    kept, held = stratified_split(TEXTS[:600], labels, fraction=0.1, seed=1)
    assert len(held) == 60
    assert {labels[row] for row in kept} == set(labels)


def test_the_seed_decides_the_split() -> None:
    first, again, other = (stratified_split(TEXTS, LABELS, fraction=0.1, seed=seed)[1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_hash_randomisation_does_not_change_the_split() -> None:
    program = (
        "from textcnn.data.split import *; t = [f't{n % 40}' for n in range(90)]; y = [f'l{n % 7}' for n in range(90)];"
        "print(stratified_split(t, y, fraction=0.2, seed=3), cross_validation_folds(y, t, folds=3, seed=3))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_texts_that_differ_in_case_and_white_space_are_identical() -> None:
    assert text_key("  Große\tWORTE \n") == text_key("GROSSE worte")
    assert text_key("a b") != text_key("ab")


def test_nothing_is_held_out_of_fraction_zero() -> None:
    kept, held = stratified_split(TEXTS, LABELS, fraction=0, seed=1)
    assert (len(kept), len(held)) == (1000, 0)


def test_a_tiny_file_still_holds_one_row_out() -> None:
    kept, held = stratified_split(["a", "b", "c", "d"], ["x", "x", "y", "y"], fraction=0.1, seed=1)
    assert (len(kept), len(held)) == (3, 1)


def test_of_a_tiny_file_the_smallest_group_of_identical_texts_is_held_out() -> None:
    _, held = stratified_split(["a", "a", "a", "b", "b", "b", "b", "c"], ["x"] * 8, fraction=0.01, seed=1)
    assert held.tolist() == [7]


def test_a_label_with_one_text_is_kept_whole() -> None:
    kept, held = stratified_split(["a", "a", "b"], ["x", "x", "y"], fraction=0.5, seed=1)
    assert (kept.tolist(), held.tolist()) == ([0, 1, 2], [])


def test_duplicates_are_held_out_together_when_that_is_nearer_to_the_share() -> None:
    texts = [f"text {n // 2}" for n in range(20)]
    _, held = stratified_split(texts, ["x"] * 20, fraction=0.1, seed=1)
    assert len(held) == 2


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="fraction: expected at least 0 and less than 1"):
        stratified_split(TEXTS, LABELS, fraction=fraction, seed=1)


@settings(deadline=None)
@given(examples, st.floats(0, 0.99), st.integers(0, 5))
def test_identical_texts_stay_together_and_every_label_is_kept(
    rows: list[tuple[str, str]], fraction: float, seed: int
) -> None:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    kept, held = stratified_split(texts, labels, fraction=fraction, seed=seed)
    assert sorted([*kept, *held]) == list(range(len(rows)))
    assert not {text_key(texts[row]) for row in kept} & {text_key(texts[row]) for row in held}
    assert {labels[row] for row in kept} == set(labels)


@settings(deadline=None)
@given(examples, st.integers(2, 5), st.integers(0, 5))
def test_folds_cover_every_row_once_and_keep_identical_texts_together(
    rows: list[tuple[str, str]], folds: int, seed: int
) -> None:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    if len({text_key(text) for text in texts}) < folds:
        with pytest.raises(LabelError, match=f"{folds} folds need at least {folds} different texts"):
            cross_validation_folds(labels, texts, folds=folds, seed=seed)
        return
    dealt = cross_validation_folds(labels, texts, folds=folds, seed=seed)
    assert len(dealt) == folds
    assert all(len(rows) for rows in dealt)
    assert sorted(row for rows in dealt for row in rows) == list(range(len(rows)))
    keys = [{text_key(texts[row]) for row in rows} for rows in dealt]
    assert sum(len(key) for key in keys) == len(set.union(*keys))


def test_folds_spread_every_label_evenly() -> None:
    folds = cross_validation_folds(LABELS, TEXTS, folds=10, seed=1)
    assert [len(rows) for rows in folds] == [100] * 10
    assert [sum(LABELS[row] == "rare" for row in rows) for rows in folds] == [10] * 10
    again = cross_validation_folds(LABELS, TEXTS, folds=10, seed=1)
    assert all((a == b).all() for a, b in zip(folds, again, strict=True))


def test_one_fold_is_refused() -> None:
    with pytest.raises(ConfigError, match="folds: expected at least 2, found 1"):
        cross_validation_folds(LABELS, TEXTS, folds=1, seed=1)
