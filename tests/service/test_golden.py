from __future__ import annotations

import os

import pytest

from service.golden import check_golden
from textcnn.errors import ArtifactError

from .conftest import ANSWERS, Pairs


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


def test_a_file_that_cannot_be_read_says_why(classifier, tmp_path):
    os.mkfifo(tmp_path / "golden.jsonl")
    with pytest.raises(ArtifactError, match=r"cannot read .*golden.jsonl: it is no regular file"):
        check_golden(classifier, tmp_path / "golden.jsonl")


def test_the_line_that_is_named_is_that_of_the_file(classifier, tmp_path):
    (tmp_path / "golden.jsonl").write_text('\n\n{"text": "a cherry\\u2028", "label": "banana"}\n')
    with pytest.raises(ArtifactError, match="line 3: 'cherry'"):
        check_golden(classifier, tmp_path / "golden.jsonl")


@pytest.mark.parametrize(
    ("head", "right", "wrong"),
    [
        ("multi_label", '["apple", "cherry"]', '["cherry"]'), ("multi_label", '["cherry", "apple"]', '"cherry"'),
        ("multi_task", '{"fruit": "cherry", "colour": null}', '{"fruit": "cherry"}'),
    ],
)  # fmt: skip
def test_every_kind_of_answer_can_be_an_example(classifier, tmp_path, head, right, wrong):
    classifier.head, classifier.answer_as = {"type": head}, ANSWERS[head]
    if head == "multi_task":
        classifier.labels = tuple(f"{task}={label}" for task in ("fruit", "colour") for label in classifier.labels)
    file = tmp_path / "golden.jsonl"
    file.write_text(f'{{"text": "a cherry", "label": {right}}}')
    check_golden(classifier, file)
    file.write_text(f'{{"text": "a cherry", "label": {wrong}}}')
    with pytest.raises(ArtifactError, match="is expected"):
        check_golden(classifier, file)


def test_abstaining_is_an_answer_too(classifier, tmp_path):
    classifier.answer_as = ANSWERS["abstaining"]
    (tmp_path / "golden.jsonl").write_text('{"text": "nothing", "label": null}')
    check_golden(classifier, tmp_path / "golden.jsonl")


def test_an_example_of_several_texts_is_a_list(tmp_path):
    file = tmp_path / "golden.jsonl"
    file.write_text('{"text": ["a banana", "a cherry"], "label": "cherry"}')
    check_golden(Pairs(), file)
    for text in ('"a cherry"', '["a cherry"]', '["a", "b", "c"]'):
        file.write_text(f'{{"text": {text}, "label": "cherry"}}')
        with pytest.raises(ArtifactError, match="line 1 has . texts; the model reads 2 together"):
            check_golden(Pairs(), file)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '"x"', '{"text": "a"}', '{"text": 1, "label": "a"}', '{"text": "a", "label": 1}', "[" * 9999,
     '{"text": [], "label": "a"}', '{"text": "\xff", "label": "a"}'],
)  # fmt: skip
def test_a_line_that_is_no_example_is_named(classifier, tmp_path, line):
    (tmp_path / "golden.jsonl").write_bytes(line.encode("latin-1"))
    with pytest.raises(ArtifactError, match="line 1 is not"):
        check_golden(classifier, tmp_path / "golden.jsonl")
