"""Opening a file: compression by its ending, any encoding turned into UTF-8, every failure told as a ReadError."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from textcnn.errors import ReadError
from textcnn.registry import nearest

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
# What a file is in truth when it begins with these bytes, and what to do about it.
FOREIGN = (
    (b"\x1f\x8b", "gzip data; give it a name that ends in .gz"),
    (b"BZh", "bzip2 data; give it a name that ends in .bz2"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data; give it a name that ends in .zst"),
    (b"PAR1", "a Parquet file; give it a name that ends in .parquet"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"),
)


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turns what the system and Arrow raise while `path` is read into a ReadError."""
    try:
        yield
    except FileNotFoundError:
        if str(path) == "-":
            raise ReadError(
                "a table cannot be read from standard input, for it is read more than once; save it as a file"
            ) from None
        raise ReadError(f"{path}: there is no such file{nearest(path.name, _names_beside(path))}") from None
    except IsADirectoryError:
        raise ReadError(f"{path} is a folder; give the path of one file in it") from None
    except PermissionError:
        raise ReadError(f"{path}: no permission to read it; check the rights of the file and its folder") from None
    except UnicodeError as error:
        raise ReadError(
            f"{path} cannot be decoded: {error}. It is cut short or in another encoding; name that with --encoding"
        ) from None
    except (OSError, pa.ArrowException) as error:
        reason = str(getattr(error, "strerror", None) or error).strip().partition("\n")[0].rstrip(".")
        raise ReadError(
            f"{path} cannot be read: {reason}. The file is damaged, cut short, or not what its ending says; "
            "get it again or name it for what it is"
        ) from None


def _names_beside(path: Path) -> list[str]:
    try:
        return os.listdir(path.parent)
    except OSError:
        return []


def open_bytes(path: Path, compression: str | None) -> Any:
    """A binary stream of the file's decompressed bytes; closing it closes the file."""
    return decompressed(path.open("rb"), compression)


def decompressed(file: Any, compression: str | None) -> Any:
    """A stream of the bytes inside `file`; closing it closes the file."""
    return pa.input_stream(file, compression=compression) if compression else file


def check_is_text(path: Path, head: bytes) -> None:
    """Raises ReadError when the first bytes are those of a well-known binary format."""
    for magic, advice in FOREIGN:
        if head.startswith(magic):
            raise ReadError(f"{path} does not hold text but {advice}")


class Utf8Source:
    """The bytes of a stream as UTF-8, without byte order mark.

    What cannot be decoded stays recoverable: invalid UTF-8 passes as it is; in another encoding each bad byte becomes a
    lone surrogate, which is not valid UTF-8 either, so both are found by the same check further on.
    """

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        # surrogateescape cannot hold half a UTF-16 character; surrogatepass can
        self._errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(self._errors)
        self._at_start = True

    def read(self, size: int) -> bytes:
        """About `size` bytes, none only at the end. A file that ends within a character raises UnicodeDecodeError."""
        data = b""
        while not data:
            raw = self._stream.read(size)
            data = raw if self._decoder is None else self._decoder.decode(raw, not raw).encode("utf-8", "surrogatepass")
            if self._at_start and data:
                self._at_start = False
                data = data.removeprefix(codecs.BOM_UTF8)
            if not raw:
                break
        return data

    def original(self, record: bytes) -> bytes:
        """A record with the undecodable bytes as they stand in the file; the rest stays UTF-8."""
        if self._decoder is None or self._errors == "surrogatepass":
            return record
        return record.decode("utf-8", "surrogatepass").encode("utf-8", "surrogateescape")
