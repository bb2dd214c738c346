"""Where records begin and end in a block of UTF-8 bytes, so that every row has a number and its own bytes.

Arrow parses the blocks (see formats.py), but it can neither number rows across blocks nor hand back a row unchanged,
and a field longer than its block stops it. So blocks are cut here, between records, and grow with their longest record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from textcnn.data.source import Utf8Source
from textcnn.errors import ReadError
from textcnn.types import Offsets

BLOCK_BYTES = 1 << 23
MAX_RECORD_BYTES = 1 << 27

QUOTE, LF, CR = b'"\n\r'
NOT_CLOSED = "the quote that opens here is never closed"
MISPLACED = "a quote is missing or not doubled: this row swallows the next {count}"


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Record i is data[starts[i]:ends[i]], without its line end. `consumed` bytes hold whole records.

    `faults` says by index what is wrong with a record's quotes. An empty line is a record of no bytes.
    """

    starts: Offsets
    ends: Offsets
    consumed: int
    faults: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Whole records, the first of which is row `first_number` of the file."""

    data: bytes
    spans: Spans
    first_number: int

    def __len__(self) -> int:
        return len(self.spans.starts)

    def record(self, index: int) -> bytes:
        return self.data[self.spans.starts[index] : self.spans.ends[index]]

    def after(self, index: int) -> Block:
        """The records behind `index`."""
        spans = self.spans
        faults = {i - index - 1: reason for i, reason in spans.faults.items() if i > index}
        rest = Spans(spans.starts[index + 1 :], spans.ends[index + 1 :], spans.consumed, faults)
        return Block(self.data, rest, self.first_number + index + 1)


# (data, final, give_up) -> spans. `final`: nothing follows; `give_up`: the first record must end in these bytes.
Splitter = Callable[[bytes, bool, bool], Spans]


def blocks(path: Path, source: Utf8Source, split: Splitter, start: bytes = b"") -> Iterator[Block]:
    """The source as blocks of whole records; `start` was already read from it.

    Raises ReadError for a line longer than MAX_RECORD_BYTES.
    """
    tail, number, final = start, 1, False
    while not final:
        # doubling keeps the cost of looking at a long record again and again linear
        more = source.read(max(BLOCK_BYTES, len(tail)))
        final = not more
        data = tail + more
        spans = split(data, final, len(data) > MAX_RECORD_BYTES)
        if not spans.consumed and len(data) > MAX_RECORD_BYTES:
            raise ReadError(f"{path}: row {number} is longer than {MAX_RECORD_BYTES >> 20} MB; is this a text file?")
        yield Block(data, spans, number)
        number += len(spans.starts)
        tail = data[spans.consumed :]


def split_lines(data: bytes, final: bool, give_up: bool) -> Spans:
    """One record a line (JSON lines, and delimited files without quoting)."""
    lines = np.frombuffer(data, np.uint8)
    return _spans(lines, *_line_ends(lines, final), final)


def split_csv(data: bytes, final: bool, give_up: bool, *, delimiter: str) -> Spans:
    """Records of a CSV file, where a quoted field may hold line ends."""
    values = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(values == QUOTE)
    ends, next_starts = _line_ends(values, final)
    outside = np.searchsorted(quotes, ends) % 2 == 0
    spans = _spans(values, ends[outside], next_starts[outside], final)
    # Counting quotes is right only where each stands around a whole field or is doubled; else look at each record.
    if (final or give_up) and len(quotes) % 2 or not _regular(values[: spans.consumed], ord(delimiter)):
        return _split_irregular(data, final, give_up, delimiter)
    return spans


def stray_quotes(data: bytes, delimiter: str) -> float:
    """Share of the quotes that touch neither a delimiter, nor a line end, nor another quote."""
    values = np.frombuffer(data, np.uint8)
    before, after, quotes = _around_quotes(values)
    edges = np.array([ord(delimiter), QUOTE, LF, CR], np.uint8)
    return float(np.mean(~np.isin(before, edges) & ~np.isin(after, edges))) if len(quotes) else 0.0


def _line_ends(values: npt.NDArray[np.uint8], final: bool) -> tuple[Offsets, Offsets]:
    """Where each line ends and where the next begins. \\n, \\r\\n and a lone \\r end a line."""
    ends = np.flatnonzero(values == LF)
    next_starts = ends + 1
    returns = np.flatnonzero(values == CR)
    if len(returns):
        following = values[np.minimum(returns + 1, len(values) - 1)]
        ends = ends - ((ends > 0) & (values[ends - 1] == CR))
        # a \r at the end of a block may have its \n in the next one
        alone = returns[(following != LF) & ((returns + 1 < len(values)) | final)]
        ends = np.sort(np.concatenate([ends, alone]))
        next_starts = np.sort(np.concatenate([next_starts, alone + 1]))
    return ends, next_starts


def _spans(values: npt.NDArray[np.uint8], ends: Offsets, next_starts: Offsets, final: bool) -> Spans:
    consumed = int(next_starts[-1]) if len(next_starts) else 0
    if final and consumed < len(values):
        ends = np.append(ends, len(values))
        next_starts = np.append(next_starts, len(values))
        consumed = len(values)
    starts = np.concatenate([np.zeros(1, np.int64), next_starts])[: len(ends)]
    return Spans(starts, ends, consumed)


def _around_quotes(values: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], Offsets]:
    """The bytes before and after each quote (a line end beyond the edges), and where the quotes are."""
    quotes = np.flatnonzero(values == QUOTE)
    before = np.where(quotes > 0, values[quotes - 1], LF).astype(np.uint8)
    after = np.where(quotes + 1 < len(values), values[np.minimum(quotes + 1, len(values) - 1)], LF).astype(np.uint8)
    return before, after, quotes


def _regular(values: npt.NDArray[np.uint8], delimiter: int) -> bool:
    """Whether every quote stands around a whole field or is doubled within one."""
    before, after, _ = _around_quotes(values)
    edges = np.array([delimiter, QUOTE, LF, CR], np.uint8)
    return len(before) % 2 == 0 and bool(np.isin(before[::2], edges).all() and np.isin(after[1::2], edges).all())


@lru_cache
def _record_pattern(delimiter: str, final: bool) -> re.Pattern[bytes]:
    """One record with its line end, read as Arrow reads it.

    A quote opens only at the start of a field, and what follows the closing quote belongs to the field. No match: a
    quote is not closed, or the line end is not in the data.
    """
    edge = re.escape(delimiter.encode())
    rest = rb"[^" + edge + rb"\r\n]*+"
    one = rb'(?:"(?:[^"]++|"")*+"' + rest + rb'|(?!")' + rest + rb")"
    line_end = rb"(\r\n|\n|\r|\Z)" if final else rb"(\r\n|\n|\r(?!\Z))"
    return re.compile(one + rb"(?:" + edge + one + rb")*+" + line_end)


@lru_cache
def _regular_record(delimiter: str) -> re.Pattern[bytes]:
    """What `_regular` checks, for one record."""
    edge = re.escape(delimiter.encode())
    one = rb'(?:"(?:[^"]++|"")*+"|[^"' + edge + rb"\r\n]*+)"
    return re.compile(one + rb"(?:" + edge + one + rb")*+")


_LINE_END = re.compile(rb"\r\n|\n|\r")
_LINE = re.compile(rb"[^\r\n]*+(\r\n|\n|\r(?!\Z))")
_LAST_LINE = re.compile(rb"[^\r\n]*+(\r\n|\n|\r|\Z)")


def _split_irregular(data: bytes, final: bool, give_up: bool, delimiter: str) -> Spans:
    """Record by record, for a block whose quotes are not all around whole fields. Slow, so only then."""
    pattern, regular = _record_pattern(delimiter, final), _regular_record(delimiter)
    starts: list[int] = []
    ends: list[int] = []
    faults: dict[int, str] = {}
    position = 0
    while position < len(data):
        match = pattern.match(data, position)
        if match is None and (final or (give_up and position == 0)):
            # the row alone is lost, and reading goes on with the next line
            match = (_LAST_LINE if final else _LINE).match(data, position)
            faults[len(starts)] = NOT_CLOSED
        if match is None:
            break
        record = data[position : match.start(1)]
        swallowed = len(_LINE_END.findall(record))
        if swallowed and not regular.fullmatch(record):
            faults[len(starts)] = MISPLACED.format(count="line" if swallowed == 1 else f"{swallowed} lines")
        starts.append(position)
        ends.append(match.start(1))
        position = match.end()
    return Spans(np.array(starts, np.int64), np.array(ends, np.int64), position, faults)
