"""How a CSV file is written that is made of another: so that the program that wrote the one opens the other."""

from __future__ import annotations

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """What stands between fields, and whether a byte order mark stands in front.

    The content is UTF-8, which Excel takes for the encoding of its own country where there is no such mark. Other
    programs would have it in the name of the first column.
    """

    delimiter: str = ","
    mark: bool = False

    @classmethod
    def like(cls, *, delimiter: str, mark: bool, encoding: str) -> Dialect:
        """For a file like one with these. Whoever writes something else than UTF-8 needs the mark to read that.

        Tabs are not kept, for no spreadsheet splits a .csv file at them.
        """
        return cls("," if delimiter in ("", "\t") else delimiter, mark or encoding != "utf-8")

    @property
    def start(self) -> bytes:
        return codecs.BOM_UTF8 if self.mark else b""
