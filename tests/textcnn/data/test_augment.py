from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcnn.build import resolve
from textcnn.errors import ConfigError
from textcnn.registry import AUGMENTATIONS
from textcnn.types import BREAK_ID, TokenBatch

VECTORS = np.array([[0, 0], [0, 0], [1, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0]], np.float32)
BATCH = TokenBatch.from_lists([[2, 3, 4, 5], [], [6], [4, 2, 2, 6, 5, 3, 3]] * 20)
CASES: list[dict[str, Any]] = [
    {"type": "word_dropout", "rate": 0.3},
    {"type": "deletion", "rate": 0.5},
    {"type": "swap", "rate": 0.3},
    {"type": "synonym", "rate": 0.5, "neighbours": 1},
]


def augmented(case: dict[str, Any], seed: int = 0) -> TokenBatch:
    return AUGMENTATIONS.build(case, vectors=VECTORS)(BATCH, np.random.default_rng(seed))


def test_every_augmentation_has_a_row() -> None:
    assert [case["type"] for case in CASES] == ["word_dropout", "deletion", "swap", "synonym"]
    assert {case["type"] for case in CASES} == set(AUGMENTATIONS.names())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["type"])
def test_a_seed_says_what_changes_and_the_batch_given_stays(case: dict[str, Any]) -> None:
    before = BATCH.values.copy()
    first, again, other = augmented(case), augmented(case), augmented(case, seed=1)
    np.testing.assert_array_equal(first.values, again.values)
    assert first.values.tolist() != other.values.tolist()
    assert first.values.tolist() != BATCH.values.tolist()
    np.testing.assert_array_equal(BATCH.values, before)
    assert len(first) == len(BATCH)
    assert first.values.dtype == np.int32 and first.offsets.dtype == np.int64
    np.testing.assert_array_equal(first.lengths == 0, BATCH.lengths == 0)
    none = AUGMENTATIONS.build({**case, "rate": 0.0}, vectors=VECTORS)(BATCH, np.random.default_rng(0))
    np.testing.assert_array_equal(none.values, BATCH.values)


def test_what_each_changes() -> None:
    dropped = augmented(CASES[0]).values
    assert 0.2 < (dropped == 1).mean() < 0.4
    assert set(dropped) <= {1, *BATCH.values.tolist()}
    assert len(augmented(CASES[1]).values) < 0.65 * len(BATCH.values)
    for old, new in zip(BATCH, augmented(CASES[2]), strict=True):
        assert sorted(old) == sorted(new)
    replaced = augmented(CASES[3]).values
    alike = {2: 3, 3: 2, 4: 5, 5: 4, 6: 6}  # 6 is like nobody
    assert all(new in (old, alike[old]) for old, new in zip(BATCH.values.tolist(), replaced.tolist(), strict=True))


def test_synonyms_are_the_same_however_many_words_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = augmented(CASES[3]).values
    monkeypatch.setattr("textcnn.data.augment.WORDS_AT_ONCE", 2)
    np.testing.assert_array_equal(augmented(CASES[3]).values, together)


def test_a_word_that_has_no_vector_has_no_synonym() -> None:
    """Where words are spelled, those outside the vocabulary have ids from its size on."""
    outside = TokenBatch.from_lists([[len(VECTORS), len(VECTORS) + 1] * 20])
    synonym = AUGMENTATIONS.build({"type": "synonym", "rate": 0.9}, vectors=VECTORS)
    np.testing.assert_array_equal(synonym(outside, np.random.default_rng(0)).values, outside.values)


def test_augmentations_are_checked_like_any_part() -> None:
    with pytest.raises(ConfigError, match="train.augmentations.0.type: unknown augmentation 'swp'; did you mean"):
        resolve({"train": {"augmentations": [{"type": "swp"}]}})
    with pytest.raises(ConfigError, match="augmentation synonym needs word vectors"):
        resolve({"train": {"augmentations": [{"type": "synonym"}]}})
    with pytest.raises(ConfigError, match=r"it does not go with model\.auxiliary"):
        resolve({"train": {"mixup": 0.2}, "model": {"auxiliary": {"blocks": [0]}}})
    resolved = resolve({"train": {"augmentations": [{"type": "swap"}]}}).train.augmentations
    assert resolved == ({"type": "swap", "rate": 0.1},)


@pytest.mark.parametrize("name", ["word_dropout", "deletion", "swap"])
def test_what_stands_between_segments_stays(name: str) -> None:
    texts = [[2, 3, BREAK_ID, 4], [BREAK_ID], [5, 6, BREAK_ID, BREAK_ID, 7, 8, 9], []]
    batch = TokenBatch.from_lists(texts)
    augment = AUGMENTATIONS.build({"type": name, "rate": 0.9})
    changed = augment(batch, np.random.default_rng(0))
    assert changed.values.tolist() != batch.values.tolist()
    breaks = [(text == BREAK_ID).sum() for text in changed]
    assert breaks == [text.count(BREAK_ID) for text in texts]
    if name != "deletion":
        assert ((changed.values == BREAK_ID) == (batch.values == BREAK_ID)).all()
