"""Which columns hold the text and the label: as asked for, or guessed from the header, of two from their content."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from textcnn.errors import ColumnError
from textcnn.registry import nearest

# In order of preference, compared without case.
TEXT_NAMES = (
    *("text", "sentence", "message", "content", "review", "comment", "body"),
    *("query", "utterance", "question", "tweet", "document"),
)
# Columns that make the text together, or alone when only one is there.
TITLE_NAMES = ("title", "headline", "subject", "description", "summary", "abstract")
LABEL_NAMES = (
    *("label", "class", "category", "target", "sentiment", "intent", "topic", "tag", "y"),
    *("emotion", "rating", "stars"),
)
SHOWN = 30
# Labels repeat, and texts hardly do: so many rows to each different value, and so many times the different values.
REPEATED = 2
# How much longer texts are than labels where both repeat.
LONGER = 3
# In ASCII, without a space, and with one of these: A-1204, 2024-05-01T10:00Z, ada@example.org, a/b.png
_CODE = re.compile(r"[!-~]*[0-9@/][!-~]*")
# Where a name says nothing, and the words of one that does: review_text, Review Text, reviewText
_UNNAMED = re.compile(r"Unnamed: \d+(?:_level_\d+)?")
_WORDS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")
_ALONE = (
    "; there is only this one column: if something else separates the fields, name it with --delimiter, and if the "
    "names stand in a later row, take out what stands above them"
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Places of the columns in the table. `label` is -1 where none is needed."""

    text: tuple[int, ...]
    label: int


def choose_columns(
    path: Path,
    names: Sequence[str],
    *,
    text_columns: Sequence[str] = (),
    label_column: str = "",
    usual_text: Sequence[str] = (),
    usual_label: str = "",
    columns_needed: Sequence[str] = (),
    labels: bool = True,
    header: bool = True,
    first_rows: Callable[[], Sequence[Sequence[str]]] = tuple,
) -> Columns:
    """Find every column that was asked for and guess the rest. Raises ColumnError with the columns there are.

    The usual columns are taken where they are there and no others are asked for.
    `header` is False where the names do not stand in a first row, which then need not be suspected of being data.
    `first_rows` are asked where the names say nothing: of two columns labels repeat, and texts do not; of more the
    error names those that look like it.
    """
    where = f"{path}: "
    hint = _no_header_hint(names) if header else ""
    if all(_same(name, names) for name in usual_text):
        text_columns = text_columns or usual_text
    if _same(usual_label, names):
        label_column = label_column or usual_label
    needed = [_find(where, name, names, hint) for name in columns_needed]
    text = tuple(_find(where, name, names, hint) for name in text_columns)
    label = _find(where, label_column, names, hint) if label_column and (labels or label_column in names) else -1
    if label in text:
        raise ColumnError(f"{where}column {names[label]!r} is asked for both as text and as label; name two columns")
    text = text or _guess_text(names, label, labels, first_rows)
    named = _named(names)
    if not text and labels and len(named) == 2 and not hint:
        text = _guess_from_rows(named, [row for row in first_rows() if all(row[place] for place in named)])
    if not text:
        likely = "" if hint else _longest(names, label, first_rows()) + (_ALONE if labels and len(names) == 1 else "")
        raise ColumnError(_unknown(where, "text", "--text-column", names, likely + hint))
    label = label if label >= 0 or not labels else _guess_label(names, text)
    if label < 0 and labels:
        likely = "" if hint else _repeating(names, text, first_rows()) + (_ALONE if len(names) == 1 else "")
        raise ColumnError(_unknown(where, "label", "--label-column", names, likely + hint))
    for index in (*text, label, *needed):
        if index >= 0 and names.count(names[index]) > 1:
            raise ColumnError(f"{where}there are several columns {names[index]!r}; rename all but one")
    return Columns(text, label if labels else -1)


def place_of(name: str, names: Sequence[str]) -> int:
    """The place of the column of that name, or of the only one that differs in case; -1 where there is none."""
    if name in names:
        return names.index(name)
    same = _same(name, names)
    return same[0] if len(same) == 1 else -1


def _find(where: str, name: str, names: Sequence[str], hint: str) -> int:
    """As `place_of`. Raises ColumnError where it is not there."""
    if (place := place_of(name, names)) >= 0:
        return place
    raise ColumnError(f"{where}there is no column {name!r}{nearest(name, names)}; {_listing(names)}{hint}")


def _same(name: str, names: Sequence[str]) -> list[int]:
    """Where the name stands, in any case."""
    return [index for index, other in enumerate(names) if other.casefold() == name.strip().casefold()]


def _guess_text(
    names: Sequence[str], label: int, labels: bool, first_rows: Callable[[], Sequence[Sequence[str]]]
) -> tuple[int, ...]:
    keys = [name.strip().casefold() if index != label else "" for index, name in enumerate(names)]
    for known in TEXT_NAMES:
        if known in keys:
            return (keys.index(known),)
    place = _only_one_like(TEXT_NAMES, names, {label})
    if place >= 0 and _holds_words([row[place] for row in first_rows()]):
        return (place,)
    parts = tuple(keys.index(known) for known in TITLE_NAMES if known in keys)
    if parts:
        return parts
    known_labels = [index for index, key in enumerate(keys) if index == label or key in LABEL_NAMES]
    named = _named(names)
    if len(named) == 2 and len(known_labels) == 1:
        return tuple(place for place in named if place not in known_labels)
    # the only column of a file to be classified; a name with a space would more likely be its first text
    alone = len(names) == 1 and not labels and " " not in names[0].strip() and _looks_like_header(names)
    return (0,) if alone else ()


def _named(names: Sequence[str]) -> list[int]:
    """Where a column has a name: spreadsheets add some without one, pandas calls its index so or "Unnamed: 0"."""
    return [place for place, name in enumerate(names) if name.strip() and not _UNNAMED.fullmatch(name.strip())]


def _only_one_like(known: Sequence[str], names: Sequence[str], taken: Collection[int]) -> int:
    """The place of the only name whose last word is a known one (tweet_text, Review Text, reviewText), or -1."""
    last = [(_WORDS.findall(name) or [""])[-1].casefold() for name in names]
    found = [place for place, word in enumerate(last) if word in known and place not in taken]
    return found[0] if len(found) == 1 else -1


def _guess_from_rows(places: Sequence[int], rows: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Which of two columns has the text, if the other one is surely that of the labels."""
    for text, label in (places, places[::-1]):
        texts, labels = [row[text] for row in rows], [row[label] for row in rows]
        kinds, kinds_of_label = len(set(texts)), len(set(labels))
        if REPEATED * kinds_of_label > len(rows) or not _holds_words(texts):
            continue
        unlike = REPEATED * kinds > len(rows) and kinds >= REPEATED * kinds_of_label
        if unlike or sum(map(len, texts)) > LONGER * sum(map(len, labels)):
            return (text,)
    return ()


def _longest(names: Sequence[str], label: int, rows: Sequence[Sequence[str]]) -> str:
    """Names the column with the longest texts, if it has any."""
    of_column = {place: [row[place] for row in rows] for place in range(len(names)) if place != label}
    held = [place for place, texts in of_column.items() if rows and _holds_words(texts)]
    if not held:
        return ""
    longest = max(held, key=lambda place: sum(map(len, of_column[place])))
    return f"; the longest texts are in {names[longest]!r}"


def _repeating(names: Sequence[str], text: Sequence[int], rows: Sequence[Sequence[str]]) -> str:
    """Names the columns of a few values that repeat, which labels do, with how many there are."""
    kinds = {place: len({row[place] for row in rows} - {""}) for place in range(len(names)) if place not in text}
    few = [place for place, number in kinds.items() if number > 1 and REPEATED * number <= len(rows)]
    if not few:
        return ""
    shown = ", ".join(f"{names[place]!r} ({kinds[place]})" for place in few[:SHOWN])
    switches = [place for place in few if {row[place] for row in rows} <= {"0", "1"}]
    tasks = " ".join(f"--task-column {shlex.quote(names[place])}" for place in switches)
    answer = f". If a text has each of them (1) or not (0): {tasks}" if 1 < len(switches) <= SHOWN else ""
    return f"; values repeat in {shown}{answer}"


def _holds_words(texts: Sequence[str]) -> bool:
    """Most are no numbers, dates, codes or addresses."""
    return 2 * sum(any(map(str.isalpha, text)) and not _CODE.fullmatch(text) for text in texts) > len(texts)


def _guess_label(names: Sequence[str], text: tuple[int, ...]) -> int:
    keys = [name.strip().casefold() if index not in text else "" for index, name in enumerate(names)]
    for known in LABEL_NAMES:
        if known in keys:
            return keys.index(known)
    if (place := _only_one_like(LABEL_NAMES, names, text)) >= 0:
        return place
    others = [place for place in _named(names) if place not in text]
    return others[0] if len(others) == 1 and len(text) == 1 else -1


def _unknown(where: str, what: str, flag: str, names: Sequence[str], hint: str) -> str:
    return f"{where}cannot tell which column holds the {what}; {_listing(names)}. Name it with {flag}{hint}"


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(repr(shorten(name)) for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the columns are {shown}{more}"


def shorten(text: str, length: int = 60) -> str:
    """For messages: one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _no_header_hint(names: Sequence[str]) -> str:
    if names and names[0].startswith("__label__"):
        return (
            ". This looks like fastText's format; make a table of it: (printf 'label\\ttext\\n'; "
            "sed -E 's/^__label__([^ ]+) /\\1\\t/' FILE) > FILE.tsv"
        )
    if _looks_like_header(names):
        return ""
    return (
        f". The first row does not look like a header: {', '.join(repr(shorten(name)) for name in names[:SHOWN])}; "
        "if the file has none, add a first line such as text,label"
    )


def _looks_like_header(names: Sequence[str]) -> bool:
    """Names are short, differ from each other and are not numbers; some columns may have none."""
    stripped = [names[place].strip() for place in _named(names)]
    return (
        bool(stripped)
        and len(set(stripped)) == len(stripped)
        and all(
            name and len(name) <= 60 and len(name.split()) <= 4 and not name.replace(".", "").lstrip("+-").isdecimal()
            for name in stripped
        )
    )
