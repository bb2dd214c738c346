"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row that a person should look at. `row` is its number in `file`; `suggestion` a label, where there is one."""

    row: int
    detail: str
    suggestion: str = ""
    file: Literal["data", "test"] = "data"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `message` is a sentence for a person, `figures` the same for a program.

    A problem stands in the way of training or makes its figures wrong, a warning costs quality, a note is to be known.
    `suspects` are all rows that it is about.
    """

    kind: str
    level: Level
    message: str
    suspects: tuple[Suspect, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


def count(number: int, one: str, many: str = "") -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
