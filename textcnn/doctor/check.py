"""All checks of one file, in order, with what is told meanwhile."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textcnn.data.readers import Examples, ReadOptions, read_examples
from textcnn.doctor.duplicates import duplicates, leaks, near_duplicates
from textcnn.doctor.findings import Finding, Suspect, count
from textcnn.doctor.labels import label_findings, labels_of_test, respelled, spelling_variants
from textcnn.doctor.learned import mislabelled, shortcuts
from textcnn.doctor.table import Table
from textcnn.doctor.texts import text_findings

# Called with what is being done, and the share of everything that is behind, 0 to 1.
Tell = Callable[[str, float], None]
# What each step takes of the whole, from 100,000 texts of AG News' length.
STEPS = {
    "reading": 0.08,
    "labels": 0.01,
    "duplicates": 0.04,
    "words and lengths": 0.12,
    "near duplicates": 0.25,
    "shortcuts": 0.05,
    "labels that look wrong": 0.45,
}


@dataclass(frozen=True, eq=False)
class Checkup:
    """What was found in a file; problems first. `examples` are its usable rows, `labels` how many have each label."""

    findings: tuple[Finding, ...]
    examples: Examples
    labels: dict[str, int]
    separator: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values; of the suspect rows their numbers."""
        return {
            "rows": len(self.examples),
            "labels": self.labels,
            "findings": [
                {
                    "kind": found.kind,
                    "level": found.level,
                    "message": found.message,
                    "rows": [suspect.row for suspect in found.suspects],
                    **({"figures": found.figures} if found.figures else {}),
                }
                for found in self.findings
            ],
        }


def check(
    data: Path,
    options: ReadOptions,
    *,
    test: Path | None = None,
    separator: str = "",
    tell: Tell = lambda what, share: None,
) -> Checkup:
    """Read `data` and look at it from every side. Raises ReadError, ColumnError or ConfigError.

    `separator` stands between the labels of a text that has several; then wrong labels and shortcuts are not looked
    for.
    """
    done = 0.0

    def begin(step: str) -> None:
        nonlocal done
        tell(step, done)
        done += STEPS[step]

    begin("reading")
    options = replace(options, label_separator=separator)
    examples, bad = _read(data, options)
    like = replace(options, usual_text=examples.text_columns, usual_label=examples.label_column)
    tested, bad_tests = _read(test, like) if test else (None, [])
    table = Table.of(examples, separator)
    test_table = Table.of(tested, separator) if tested else None
    findings = [*_reading(examples, bad)]
    if bad_tests:
        findings.append(_unusable(bad_tests, "of the test file "))
    begin("labels")
    findings += label_findings(table)
    if test_table:
        findings += labels_of_test(table, test_table)
    # from here on as --fix writes them, for spellings of a label are no different labels
    table, labels = _respelled(table), Counter(label for row in table.label_rows for label in row)
    begin("duplicates")
    findings += duplicates(table)
    if test_table:
        findings += leaks(table, test_table)
    begin("words and lengths")
    findings += text_findings(table, test_table)
    begin("near duplicates")
    findings += near_duplicates(table)
    if not separator:
        begin("shortcuts")
        findings += shortcuts(table)
        begin("labels that look wrong")
        start = done - STEPS["labels that look wrong"]
        findings += mislabelled(
            table, lambda share: tell("labels that look wrong", start + share * STEPS["labels that look wrong"])
        )
    tell("done", 1.0)
    order = ("problem", "warning", "note")
    ranked = sorted(findings, key=lambda found: order.index(found.level))
    return Checkup(tuple(ranked), examples, dict(labels.most_common()), separator)


def _respelled(table: Table) -> Table:
    variants = spelling_variants(Counter(label for row in table.label_rows for label in row))
    return replace(table, labels=[respelled(label, variants, table.separator) for label in table.labels])


def _read(path: Path, options: ReadOptions) -> tuple[Examples, list[Suspect]]:
    """The usable rows, and the others with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        aside = replace(options, bad_rows="skip", side_folder=Path(folder))
        examples = read_examples(path, aside)
        if examples.side_file is None:
            return examples, []
        with open(examples.side_file, encoding="utf-8", errors="replace", newline="") as file:
            before = csv.field_size_limit(1 << 30)
            try:
                return examples, [Suspect(int(row["row"]), row["reason"]) for row in csv.DictReader(file)]
            finally:
                csv.field_size_limit(before)  # it is everybody's


def _reading(examples: Examples, bad: list[Suspect]) -> Iterator[Finding]:
    for doubt in examples.doubts:
        yield Finding("reading", "warning", doubt)
    if bad:
        yield _unusable(bad, "")


# which byte and where stands with the row
_WHERE = re.compile(r"^(?:byte 0x..|a byte) at character \d+ is")


def _unusable(bad: list[Suspect], where: str) -> Finding:
    reasons = Counter(_WHERE.sub("bytes are", suspect.detail) for suspect in bad)
    said = ", ".join(f"{reason} ({times:,})" for reason, times in reasons.most_common(5))
    return Finding(
        "unusable_rows",
        "problem",
        f"{count(len(bad), 'row')} {where}cannot be used: {said}; "
        "--fix leaves them out of a copy, --bad-rows skip out of training",
        tuple(replace(suspect, file="test") if where else suspect for suspect in bad),
        {"rows": len(bad), "reasons": dict(reasons)},
    )
