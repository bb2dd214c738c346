"""The one progress bar: what is being done, how far it is, and how long it still takes. For terminals only."""

from __future__ import annotations

import sys
import time
from typing import Any, Self, TextIO

REFRESH_SECONDS = 0.1
# What stands around the name and the figures: a bar of 8 cells, the share, and hours that are left.
_AROUND, _AT_MOST = len(" |########| 100%, 0:00:00 left"), "at most "


class ProgressBar:
    """A context with a bar on `stream`, standard error by default, if that is a terminal and it is `wanted`; else none.

    `done`, 0 to 1, is what was behind before it began. `at_most`: the work may end sooner.
    """

    def __init__(
        self, stream: TextIO | None = None, *, wanted: bool = True, done: float = 0.0, at_most: bool = False
    ) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._refreshed = 0.0
        self._around = _AROUND + len(_AT_MOST) * at_most
        if wanted and self._stream.isatty():
            from tqdm import tqdm

            left = "{desc} |{bar}| {percentage:3.0f}%{postfix}, " + _AT_MOST * at_most + "{remaining} left"
            self._forms = {True: left, False: "{desc}{postfix}, {elapsed}"}  # by whether the share is known
            self._bar = tqdm(
                total=1.0, initial=done, file=self._stream, dynamic_ncols=True, leave=False, bar_format=left,
                delay=1e-9,  # nothing to see before there is something to say
            )  # fmt: skip

    @property
    def shown(self) -> bool:
        return self._bar is not None

    def show(self, what: str, share: float | None, figures: str = "") -> None:
        """`what` is being done, `share` of everything is behind, 0 to 1 (None: nobody knows), and `figures` so far.

        Of figures with commas between them a narrow terminal has the first ones, for how long it takes goes before.
        """
        if self._bar is None:
            return
        self._bar.bar_format = self._forms[share is not None]
        self._bar.set_description_str(what, refresh=False)
        self._bar.set_postfix_str(self._fitting(what, figures), refresh=False)
        self._bar.n = self._bar.n if share is None else min(share, 1.0)
        if (now := time.perf_counter()) - self._refreshed >= REFRESH_SECONDS:
            self._refreshed = now
            self._bar.refresh()

    def _fitting(self, what: str, figures: str) -> str:
        """As many of the figures as the terminal is wide enough for."""
        columns = self._bar.format_dict["ncols"]
        parts = figures.split(", ")
        while parts and columns and len(what) + len(", ".join(parts)) + len(", ") + self._around > columns:
            parts.pop()
        return ", ".join(parts)

    def write(self, line: str) -> None:
        """A line that stays, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            self._stream.write(line + "\n")
            self._stream.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
