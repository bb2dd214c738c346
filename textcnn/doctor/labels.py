"""Whether the labels make a task: their spelling, how many rows they have, how evenly."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from textcnn.data.columns import shorten
from textcnn.doctor.findings import Finding, Suspect, count
from textcnn.doctor.table import Table, cleaned

# Fewer rows than this teach and test a label only by chance.
RARE = 10
# The largest label has so many times the rows of the smallest: accuracy then says little of the smallest.
UNEVEN = 10
# A label with at most this share of another's rows, and spelled nearly alike, is taken for a slip of it.
SLIP = 0.05
_ALIKE = 0.85


def label_findings(table: Table) -> Iterator[Finding]:
    counts = Counter(table.labels)
    variants = spelling_variants(counts)
    if variants:
        said = ", ".join(
            f"{wrong!r} ({count(counts[wrong], 'row')}) for {right!r}" for wrong, right in variants.items()
        )
        yield Finding(
            "label_spellings",
            "problem",
            f"labels that look like another one's spelling: {said}",
            tuple(
                Suspect(int(row), f"label {label!r} looks like {variants[label]!r}", variants[label])
                for row, label in zip(table.rows, table.labels, strict=True)
                if label in variants
            ),
            {"variants": variants},
        )
    rare = {name: times for name, times in counts.items() if times < RARE and name not in variants}
    if rare:
        said = ", ".join(f"{shorten(name)!r} {times}" for name, times in sorted(rare.items(), key=lambda x: x[1])[:10])
        yield Finding(
            "rare_labels",
            "problem" if min(rare.values()) < 2 else "warning",
            f"{count(len(rare), 'label has', 'labels have')} fewer than {RARE} rows: {said}"
            f"{' ...' if len(rare) > 10 else ''}",
            tuple(
                Suspect(int(row), f"label {label!r} has {count(rare[label], 'row')}")
                for row, label in zip(table.rows, table.labels, strict=True)
                if label in rare
            ),
            {"labels": rare},
        )
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if len(counts) < 2:
        yield Finding("one_label", "problem", f"every row has the label {largest!r}; there is nothing to learn")
    elif most >= UNEVEN * least:
        yield Finding(
            "imbalance",
            "warning",
            f"{largest!r} has {most / least:.0f} times the rows of {smallest!r}; always answering {largest!r} would be "
            f"right in {most / len(table):.1%}: look at macro F1, and try train.class_weights=balanced",
            figures={"largest": largest, "smallest": smallest, "ratio": most / least, "majority": most / len(table)},
        )


def spelling_variants(counts: Mapping[str, int]) -> dict[str, str]:
    """Labels that are most likely slips, and what they should be: the most frequent spelling."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        groups[cleaned(unicodedata.normalize("NFKC", name)).replace("_", " ").replace(" ", "")].append(name)
    found = {}
    for names in groups.values():
        right = max(names, key=lambda name: (counts[name], name))
        found.update({name: right for name in names if name != right})
    rest = sorted((name for name in counts if name not in found), key=lambda name: (-counts[name], name))
    for place, name in enumerate(rest):
        # digits tell labels apart (week 1, week 2), and so do the parts of short ones
        if any(character.isdigit() for character in name) or len(name) < 5:
            continue
        often = [other for other in rest[:place] if counts[name] <= SLIP * counts[other]]
        close = difflib.get_close_matches(name.casefold(), [other.casefold() for other in often], n=1, cutoff=_ALIKE)
        if close:
            found[name] = next(other for other in often if other.casefold() == close[0])
    return found
