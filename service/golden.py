"""Examples that every version of a model has to get right before it may answer: models/<name>/golden.jsonl.

{"text": "where is my parcel?", "label": "delivery"}     one a line; the file is the operator's, and may be missing

`text` is a list for a model that reads several together. `label` is what the model says: null where it abstains, a list
where there may be any number, {"task": label} where there are several tasks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.deployment import Classifier
from service.files import read_file
from textcnn.errors import ArtifactError
from textcnn.types import Prediction, join_texts

FILE = "golden.jsonl"
NOT_AN_EXAMPLE = 'is not {"text": "...", "label": "..."}'


def said(prediction: Prediction) -> Any:
    """The label, null where the model abstains; the list of labels; {task: label}."""
    if prediction.tasks is not None:
        return {task: said(found) for task, found in prediction.tasks.items()}
    if prediction.labels is not None:
        return [score.label for score in prediction.labels]
    return None if prediction.abstained else prediction.label


def check_golden(classifier: Classifier, file: Path) -> None:
    """Raises ArtifactError naming the first examples that come out otherwise, or what is wrong with the file."""
    try:
        lines = read_file(file).split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {error.strerror or error}") from None
    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    examples = [_example(lines[number - 1], f"{file}, line {number}", classifier) for number in numbers]
    if not examples:
        return
    answers = classifier.classify([text for text, _ in examples])
    wrong = [
        f"line {number}: {said(answer)!r} where {label!r} is expected"
        for number, (_, label), answer in zip(numbers, examples, answers, strict=True)
        if not _agree(said(answer), label)
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ArtifactError(f"{len(wrong)} of {len(examples)} examples of {file}: {'; '.join(wrong[:3])}{more}")


def _agree(answer: Any, expected: Any) -> bool:
    if isinstance(answer, list) and isinstance(expected, list):  # in any order
        return sorted(answer) == sorted(expected)
    return bool(answer == expected)


def _example(line: bytes, where: str, classifier: Classifier) -> tuple[str, Any]:
    try:
        given = json.loads(line)
        text, label = given["text"], given["label"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(f"{where} {NOT_AN_EXAMPLE}") from None
    if not (_is_text(text) and _is_answer(label)):
        raise ArtifactError(f"{where} {NOT_AN_EXAMPLE}")
    count = 1 if isinstance(text, str) else len(text)
    if count != classifier.texts_per_record:
        raise ArtifactError(f"{where} has {count} texts; the model reads {classifier.texts_per_record} together")
    return text if isinstance(text, str) else join_texts(text), label


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or _are_strings(value)


def _is_answer(value: Any) -> bool:
    if isinstance(value, dict):
        return all(label is None or isinstance(label, str) for label in value.values())
    return value is None or isinstance(value, str) or value == [] or _are_strings(value)


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
