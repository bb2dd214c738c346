from __future__ import annotations

import numpy as np
import pytest

from textcnn.evaluation.significance import compare


def split(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_texts_are_counted_by_who_is_right() -> None:
    found = compare(*split(50, 20, 5, 25))
    assert [found[key] for key in ("both_right", "only_first_right", "only_second_right", "both_wrong")] == [
        50,
        20,
        5,
        25,
    ]
    assert found["difference"] == pytest.approx(0.15)
    assert found["interval"][0] < 0.15 < found["interval"][1]


def test_the_p_value_is_that_of_the_binomial_test() -> None:
    # of 5 texts that only one has right, all 5 to one side: 2 / 2 ** 5
    assert compare(*split(10, 5, 0, 0))["p_value"] == pytest.approx(2 / 32)
    assert compare(*split(10, 4, 4, 0))["p_value"] == 1.0


def test_a_model_is_no_better_than_itself() -> None:
    found = compare(*split(5, 0, 0, 5))
    assert (found["difference"], found["interval"], found["p_value"]) == (0.0, [0.0, 0.0], 1.0)
