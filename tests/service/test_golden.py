from __future__ import annotations

import pytest

from service.golden import check_golden
from textcnn.errors import ArtifactError


def test_a_model_that_gets_its_examples_right_may_answer(classifier, tmp_path):
    file = tmp_path / "golden.jsonl"
    file.write_text('{"text": "a cherry", "label": "cherry"}\n\n{"text": "x", "label": "apple"}\n')
    check_golden(classifier, file)
    file.write_text("")
    check_golden(classifier, file)
    check_golden(classifier, tmp_path / "none")


def test_one_that_does_not_is_refused_with_the_first_lines(classifier, tmp_path):
    file = tmp_path / "golden.jsonl"
    file.write_text('{"text": "a cherry", "label": "cherry"}\n' + '{"text": "a cherry", "label": "banana"}\n' * 5)
    with pytest.raises(ArtifactError, match=r"5 of 6 .*line 2: 'cherry' where 'banana' is expected.*and 2 more"):
        check_golden(classifier, file)


@pytest.mark.parametrize("line", ["{", "[]", '"x"', '{"text": "a"}', '{"text": 1, "label": "a"}'])
def test_a_line_that_is_no_example_is_named(classifier, tmp_path, line):
    (tmp_path / "golden.jsonl").write_text(line)
    with pytest.raises(ArtifactError, match="line 1 is not"):
        check_golden(classifier, tmp_path / "golden.jsonl")
