"""Which encoding a file is in: byte order mark, valid UTF-8, or the best guess among a few legacy encodings."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from textcnn.data.legacy import guess_legacy
from textcnn.errors import ConfigError
from textcnn.registry import nearest

# The UTF-32 marks come first: the little-endian one begins with the mark of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
COMMON = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1250", "cp1251", "cp1252", "latin-1", "koi8-r"),
    *("gb18030", "gbk", "big5", "shift_jis", "euc-jp", "euc-kr", "iso-8859-2", "iso-8859-5", "iso-8859-15"),
)
SAMPLE_BYTES = 1 << 20
# Pure ASCII says nothing, so the search for the first other byte goes on, but not through a whole large file.
SCAN_BYTES = 1 << 25


def check_encoding(name: str) -> list[str]:
    """The fault of an encoding name that Python cannot decode text with, if any."""
    try:
        b"  ".decode(name)
    except UnicodeError:
        pass
    except (LookupError, ValueError):
        return [f"encoding: {name!r} is no text encoding that Python knows{nearest(name.lower(), COMMON)}"]
    return []


def canonical_encoding(name: str) -> str:
    """The codec's own name. A byte order mark is always dropped, so utf-8-sig is utf-8. Raises ConfigError."""
    faults = check_encoding(name)
    if faults:
        raise ConfigError(faults)
    return codecs.lookup(name).name.removesuffix("-sig")


def detect_encoding(read: Callable[[int], bytes]) -> tuple[str, str]:
    """The encoding of the bytes that `read(size)` gives from the file's start, and how it was found.

    UTF-8 it stays as long as the rows that are not UTF-8 are fewer than the non-ASCII rows that are, or no more than
    one row in a hundred: then those rows are damaged, and it is for the user to hear of them. A legacy encoding breaks
    nearly every row that has an accent.
    """
    block = read(SAMPLE_BYTES)
    for mark, codec in BYTE_ORDER_MARKS:
        if block.startswith(mark):
            return codec, "by its byte order mark"
    wide = _utf16_without_mark(block)
    if wide:
        return wide, "by its zero bytes"
    scanned = seen_rows = 0
    while block and block.isascii() and scanned < SCAN_BYTES:
        scanned += len(block)
        seen_rows += block.count(b"\n")
        block = read(SAMPLE_BYTES)
    rows = re.split(rb"[\r\n]+", _whole_rows(block))
    broken = [row for row in rows if not is_utf8(row)]
    sound = sum(not row.isascii() for row in rows) - len(broken)
    if len(broken) <= max(sound, (seen_rows + len(rows)) // 100):
        return "utf-8", "detected, though some rows are damaged" if broken else "detected"
    return guess_legacy(broken), "guessed from the bytes; if the texts look wrong, name it with --encoding"


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _whole_rows(block: bytes) -> bytes:
    """Without the row that the end of the sample cuts."""
    return block[: block.rfind(b"\n") + 1] or block if len(block) == SAMPLE_BYTES else block


def _utf16_without_mark(block: bytes) -> str:
    """The UTF-16 codec if nearly all zero bytes are high bytes and line ends appear as pairs, else ""."""
    even, odd = block[::2].count(0), block[1::2].count(0)
    if max(even, odd) <= 10 * min(even, odd):
        return ""
    codec = "utf-16-be" if even > odd else "utf-16-le"
    text = block.decode(codec, "ignore")
    return codec if "\n" in text or "\r" in text else ""
