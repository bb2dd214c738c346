"""Examples that every version of a model has to get right before it may answer: models/<name>/golden.jsonl.

{"text": "where is my parcel?", "label": "delivery"}     one a line; the file is the operator's, and may be missing
"""

from __future__ import annotations

import json
from pathlib import Path

from service.deployment import Classifier
from textcnn.errors import ArtifactError

FILE = "golden.jsonl"


def check_golden(classifier: Classifier, file: Path) -> None:
    """Raises ArtifactError naming the first examples that come out otherwise, or what is wrong with the file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    examples = [_example(line, f"{file}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not examples:
        return
    answers = classifier.classify([text for text, _ in examples])
    wrong = [
        f"line {number}: {answer.label!r} where {label!r} is expected"
        for number, ((_, label), answer) in enumerate(zip(examples, answers, strict=True), 1)
        if answer.label != label
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ArtifactError(f"{len(wrong)} of {len(examples)} examples of {file}: {'; '.join(wrong[:3])}{more}")


def _example(line: str, where: str) -> tuple[str, str]:
    try:
        given = json.loads(line)
        text, label = given["text"], given["label"]
    except (ValueError, KeyError, TypeError):
        text = label = None
    if not isinstance(text, str) or not isinstance(label, str):
        raise ArtifactError(f'{where} is not {{"text": "...", "label": "..."}}')
    return text, label
