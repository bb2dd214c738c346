"""Whether the labels make a task: their spelling, how many rows they have, how evenly."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from textcnn.data.columns import shorten
from textcnn.data.labels import SEPARATORS, check_trainable
from textcnn.doctor.findings import Finding, Level, Suspect, count
from textcnn.doctor.table import Table
from textcnn.errors import LabelError

# Fewer rows than this teach and test a label only by chance.
RARE = 10
# The largest label has so many times the rows of the smallest: accuracy then says little of the smallest.
UNEVEN = 10
# So many different numbers may be steps of a scale; two are rather no and yes.
ORDERED = range(3, 21)
# A label with at most this share of another's rows, and spelled nearly alike, is taken for a slip of it.
SLIP = 0.05
_ALIKE = 0.85
# Labels are taken for several joined where so many of those with a separator in them, and two at least, are that.
_JOINED = 0.8
# What separates words, where it is not between digits: 1.5 is not 15, and C++ is not C.
_SEPARATORS = re.compile(r"(?<=[^\W\d])[\W_]+(?=\w)|(?<=\w)[\W_]+(?=[^\W\d])|^[\s.,;:'\"]+|[\s.,;:'\"]+$")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
# What programs write where there is no value.
_MISSING = frozenset({"nan", "na", "n/a", "#n/a", "null", "<na>", "nat"})


def label_findings(table: Table) -> Iterator[Finding]:
    """Of the labels, and where a text has several, of each of them."""
    counts = Counter(label for row in table.label_rows for label in row)
    empty = [int(row) for row, labels in zip(table.rows, table.label_rows, strict=True) if not labels]
    if empty:
        yield Finding(
            "no_label",
            "note",
            f"{count(len(empty), 'row has', 'rows have')} no label, which is learned as an answer: none of them; "
            "take out those that only nobody has labelled yet",
            tuple(Suspect(row, "has no label") for row in empty),
            {"rows": len(empty)},
        )
    if not counts:
        yield Finding("one_label", "problem", "no row has a label; there is nothing to learn")
        return
    if not table.separator and (separator := joined_by(counts)):
        joined = {name: times for name, times in counts.items() if separator in name}
        yield Finding(
            "joined_labels",
            "warning",
            f"{count(len(joined), 'label is', 'labels are')} others joined by {separator!r}, such as "
            f"{shorten(next(iter(joined)))!r} ({count(sum(joined.values()), 'row')}); if a text may have several "
            f"labels, check and train with --label-separator {separator!r}",
            figures={"separator": separator, "labels": len(joined), "rows": sum(joined.values())},
        )
    spelled = spelling_variants(counts)
    missing = {name: times for name, times in counts.items() if name.casefold() in _MISSING}
    if missing:
        said = ", ".join(f"{name!r} ({count(times, 'row')})" for name, times in missing.items())
        yield Finding(
            "missing_labels",
            "warning",
            f"{count(len(missing), 'label looks', 'labels look')} like missing values, and would be learned: {said}; "
            "leave the cells empty if they are",
            _rows_with(table, {name: "looks like a missing value" for name in missing}),
            {"labels": missing},
        )
    slips = likely_slips({name: times for name, times in counts.items() if name not in spelled})
    if spelled:
        yield _variants(table, counts, spelled, "label_spellings", "problem", "labels that are spelled in several ways")
    if slips:
        yield _variants(table, counts, slips, "label_slips", "warning", "labels that may be slips of the pen")
    for wrong, right in [*spelled.items(), *reversed(slips.items())]:
        # from here on as if they were one; a slip comes behind its own spellings and its own slips
        counts[right] += counts.pop(wrong)
    rare = {name: times for name, times in counts.items() if times < RARE}
    if rare:
        said = ", ".join(f"{shorten(name)!r} {times}" for name, times in sorted(rare.items(), key=lambda x: x[1])[:10])
        yield Finding(
            "rare_labels",
            "warning",
            f"{count(len(rare), 'label has', 'labels have')} fewer than {RARE} rows: {said}"
            f"{' ...' if len(rare) > 10 else ''}",
            _rows_with(table, {name: f"has {count(times, 'row')}" for name, times in rare.items()}),
            {"labels": rare},
        )
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if len(counts) < 2:
        yield Finding("one_label", "problem", f"every row has the label {largest!r}; there is nothing to learn")
    else:
        yield from _refused(table)
    if not table.separator and len(counts) in ORDERED and all(map(_NUMBER.fullmatch, counts)):
        yield Finding(
            "ordered_labels",
            "note",
            f"the {len(counts)} labels are numbers; if near ones are more alike than far ones (stars, grades), "
            "model.head.type=ordinal learns their order",
            figures={"labels": sorted(counts, key=float)},
        )
    if len(counts) < 2:
        return
    if most >= UNEVEN * least:
        yield Finding(
            "imbalance",
            "warning",
            f"{largest!r} has {most / least:,.0f} times the rows of {smallest!r}; always answering {largest!r} would "
            f"be right in {most / len(table):.1%}: look at macro F1, and try train.class_weights=balanced",
            figures={"largest": largest, "smallest": smallest, "ratio": most / least, "majority": most / len(table)},
        )


def _refused(table: Table) -> Iterator[Finding]:
    """What training says of labels that it does not take."""
    try:
        check_trainable([label for labels in table.label_rows for label in labels])
    except LabelError as error:
        yield Finding("untrainable", "problem", f"training stops at this: {error}")


def labels_of_test(table: Table, test: Table) -> Iterator[Finding]:
    """Labels of the test that the data does not have."""
    known = {label for labels in table.label_rows for label in labels}
    unknown = [
        (int(row), label)
        for row, labels in zip(test.rows, test.label_rows, strict=True)
        for label in labels
        if label not in known
    ]
    if unknown:
        counts = Counter(label for _, label in unknown)
        said = ", ".join(f"{shorten(name)!r} {times:,}" for name, times in counts.most_common(5))
        number = count(len(counts), "label of the test texts is", "labels of the test texts are")
        yield Finding(
            "unknown_test_labels",
            "problem",
            f"{number} not in the data: {said}; no model that is trained on it can be right there",
            tuple(Suspect(row, f"label {label!r} is not in the data", file="test") for row, label in unknown),
            {"labels": dict(counts)},
        )


def _variants(
    table: Table, counts: Mapping[str, int], variants: Mapping[str, str], kind: str, level: Level, what: str
) -> Finding:
    said = ", ".join(f"{wrong!r} ({count(counts[wrong], 'row')}) for {right!r}" for wrong, right in variants.items())
    return Finding(
        kind,
        level,
        f"{what}: {said}",
        tuple(
            Suspect(int(row), f"label {label!r} looks like {variants[label]!r}", variants[label])
            for row, labels in zip(table.rows, table.label_rows, strict=True)
            for label in labels
            if label in variants
        ),
        {"variants": dict(variants)},
    )


def _rows_with(table: Table, wrong: Mapping[str, str]) -> tuple[Suspect, ...]:
    """The rows with one of these labels, of each of which `wrong` says what."""
    return tuple(
        Suspect(int(row), f"label {label!r} {wrong[label]}")
        for row, labels in zip(table.rows, table.label_rows, strict=True)
        for label in labels
        if label in wrong
    )


def joined_by(names: Collection[str]) -> str:
    """What stands between several labels that are written as one, or "": most parts are labels by themselves."""
    for separator in SEPARATORS:
        joined = [name for name in names if separator in name]
        whole = [name for name in joined if all(part.strip() in names for part in name.split(separator))]
        if len(whole) >= 2 and len(whole) >= _JOINED * len(joined):
            return separator
    return ""


def spelling_variants(counts: Mapping[str, int]) -> dict[str, str]:
    """Labels that differ from a more frequent one in case, spaces, punctuation or a final `.0` only, and that one."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        groups[_read(name)].append(name)
    found = {}
    for names in groups.values():
        right = max(names, key=lambda name: (counts[name], name))
        found.update({name: right for name in names if name != right})
    return found


def respelled(label: str, variants: Mapping[str, str], separator: str) -> str:
    """A label, or several with the separator between them, in the spelling that `variants` has for it."""
    parts = label.split(separator) if separator else [label]
    if variants.keys().isdisjoint(part.strip() for part in parts):
        return label
    return separator.join(dict.fromkeys(variants.get(part.strip(), part.strip()) for part in parts))


def _read(name: str) -> str:
    """A label as people take it: the same for all spellings of it."""
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    if _NUMBER.fullmatch(plain):
        return re.sub(r"\.0+$", "", plain)
    return _SEPARATORS.sub("", plain).replace("_", "") or plain


def likely_slips(counts: Mapping[str, int]) -> dict[str, str]:
    """Rare labels that are spelled nearly like a frequent one, and that one: for a person to judge."""
    found = {}
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    for place, name in enumerate(ranked):
        # digits tell labels apart (week 1, week 2), and so do the parts of short ones
        if any(character.isdigit() for character in name) or len(name) < 5:
            continue
        often = [other for other in ranked[:place] if counts[name] <= SLIP * counts[other]]
        close = difflib.get_close_matches(name.casefold(), [other.casefold() for other in often], n=1, cutoff=_ALIKE)
        if close:
            found[name] = next(other for other in often if other.casefold() == close[0])
    return found
