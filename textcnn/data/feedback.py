"""Labels that people gave to texts of a running service, put to the texts that are trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from textcnn.data.readers import ReadOptions, read_examples
from textcnn.errors import ReadError

TEXT, LABEL, MODEL, TIME = "text", "label", "model", "time"  # columns of the service's files


@dataclass(frozen=True, slots=True)
class Said:
    """A text with the label that is right, and when and of which model that was said, "" where it was not."""

    text: str
    label: str
    time: str = ""
    model: str = ""


@dataclass(frozen=True, eq=False)
class Taught:
    """Texts and labels with the feedback, and what it did: texts that are new, that have another label now, and that
    had it already; labels that nobody knew, of texts that are left out.
    """

    texts: list[str]
    labels: list[str]
    added: int
    corrected: int
    confirmed: int
    unknown: Counter[str]


def feedback_files(path: Path) -> list[Path]:
    """The file itself, or the .jsonl files of a folder. Raises ReadError where there is none."""
    if not path.is_dir():
        return [path]
    try:
        files = sorted(path.glob("*.jsonl"))
    except OSError as error:
        raise ReadError(f"cannot read {path}: {error.strerror}") from None
    if not files:
        raise ReadError(f"{path} has no file of feedback; textcnn serve --feedback {path} keeps them there, as .jsonl")
    return files


def read_feedback(path: Path, options: ReadOptions, *, texts: int = 1) -> list[Said]:
    """The rows of a file; of `texts` that are read together, in the columns text_1, text_2 and so on.

    Raises ReadError, ColumnError or BadRowsError.
    """
    columns = (TEXT,) if texts == 1 else tuple(f"{TEXT}_{number}" for number in range(1, texts + 1))
    found = read_examples(path, replace(options, text_columns=columns, label_column=LABEL))
    times, models = (
        found.table.column(name).to_pylist() if name in found.column_names else [None] * len(found)
        for name in (TIME, MODEL)
    )
    return [
        Said(text, label, str(time or ""), str(model or ""))
        for text, label, time, model in zip(found.texts, found.labels, times, models, strict=True)
    ]


def with_feedback(
    texts: Sequence[str], labels: Sequence[str], said: Iterable[Said], known: Collection[str], *, separator: str = ""
) -> Taught:
    """The texts and labels with what was said, the last of what was said of a text.

    Equal texts, but for white space around them, all get its label. Labels that are not `known`, of which a string may
    hold several with the `separator` between them, are left out: whoever can send feedback cannot make a label.
    """
    last: dict[str, str] = {}
    unknown: Counter[str] = Counter()
    for one in sorted(said, key=lambda one: one.time):
        given = [part.strip() for part in one.label.split(separator)] if separator else [one.label]
        if strange := [label for label in given if label and label not in known]:
            unknown.update(strange)
        else:
            last[one.text.strip()] = one.label
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text.strip(), []).append(place)
    found, corrected = list(labels), 0
    for text in last.keys() & places.keys():
        corrected += any(labels[place] != last[text] for place in places[text])
        for place in places[text]:
            found[place] = last[text]
    new = [text for text in last if text not in places]
    return Taught(
        [*texts, *new], [*found, *(last[text] for text in new)],
        added=len(new), corrected=corrected, confirmed=len(last) - len(new) - corrected, unknown=unknown,
    )  # fmt: skip
