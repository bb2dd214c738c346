"""Strings as JSON, many of them odd or wrong."""

from __future__ import annotations

import json

from hypothesis import strategies as st

STRINGS = st.text(max_size=12).map(
    lambda text: json.dumps(text, ensure_ascii=len(text) % 2 == 0).encode("utf-8", "replace")
)
PIECES = st.sampled_from(
    [
        b"abcdefgh",
        b" ",
        b"\t",
        b"\x7f",
        b"\x1f",
        b"\x00",
        b'"',
        b'\\"',
        b"\\/",
        b"\\q",
        b"\\u0000",
        b"\\u00e9",
        b"\\ud83d",
    ]
    + [b"\\ud83d\\ude00", b"\\uD83D\\u0041", b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x98\x80"]
    + [b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]  # no UTF-8
)
ODD = st.lists(PIECES, max_size=6).map(lambda parts: b'"' + b"".join(parts) + b'"')
TEXTS = STRINGS | ODD
