"""Word vectors from a file, as a matrix with one row per token.

Reads word2vec (binary or text), GloVe text, fastText (.bin and .vec) and gensim's own .kv, each also gzipped. The
format is found from the content. fastText .bin and .kv are gensim's to load, whole. Of the others only the wanted rows
are kept while reading: gensim would first build all of the three million GoogleNews vectors, 3.6 GB, to keep 20,000.
"""

from __future__ import annotations

import codecs
import gzip
import io
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from textcnn.errors import MissingExtraError, VectorsError, needs_extra
from textcnn.text.word_ids import PAD, UNKNOWN
from textcnn.types import Bools, Floats

# In this order: the first variant that the file knows gives the vector.
_VARIANTS: dict[str, Callable[[str], str]] = {
    "exact": str,
    "lower-case": str.lower,
    "case-folded": str.casefold,
    "capitalised": str.capitalize,
    "upper-case": str.upper,
}
_SUBWORDS = "from subwords"
_HEAD = 1 << 16  # bytes looked at to tell the format
_CHUNK = 1 << 20
_FASTTEXT_MAGIC = struct.pack("<i", 793712314)
_FORMATS = "word2vec binary or text, GloVe text, fastText .bin or .vec, gensim .kv"


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """One row of `matrix` float32[len(words), dim] per word; `found` bool[len(words)] where the file gave it.

    `matched` counts the found words by how they were: exact, lower-case, ... or from subwords. `file_words` is how many
    words the file has (or was read of it), `origin` the file's name and format.
    """

    words: tuple[str, ...]
    matrix: Floats
    found: Bools
    matched: dict[str, int]
    file_words: int
    origin: str

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])


@dataclass(frozen=True, slots=True)
class _Format:
    """What a file turned out to be. `count` is None where the file does not say."""

    name: str
    dim: int = 0
    count: int | None = None


def load_vectors(
    path: str | Path, words: Sequence[str] | None = None, *, limit: int | None = None, seed: int = 1
) -> Vectors:
    """The vectors of `words` (None: of every word in the file), of the file's first `limit` words.

    A word that the file lacks is looked up in other spellings (lower-case, case-folded, capitalised, upper-case), then
    from its subwords where the file has them. What is still missing is drawn from U[-a, a] with the variance of the
    loaded vectors (Kim 2014, section 3.1: a = sqrt(3 * variance)); the row of `<pad>` is zero. Raises VectorsError.

    SECURITY: a .kv file is a Python pickle, and loading a pickle can run any code its author put in. Load only your
    own. No other ending is ever unpickled.
    """
    form = _format(path)
    wanted = None if words is None else {spell(word) for word in words for spell in _VARIANTS.values()}
    known, file_words = _read(path, form, wanted, limit)
    words = list(known.key_to_index) if words is None else words
    origin = f"{Path(path).name} ({form.name})"
    matrix = np.zeros((len(words), known.vector_size), np.float32)
    found, matched = _fill(matrix, words, known)
    if words and not found.any():
        first = ", ".join(map(repr, file_vocabulary(path, limit=3)))
        raise VectorsError(
            f"{path}: none of the {len(words):,} words has a vector in this file, whose first words are {first}."
            " Is it of another language, or made for another way to split words (text.tokenizer)?"
        )
    if not np.isfinite(matrix).all():
        raise VectorsError(f"{path}: some vectors hold NaN or infinity; the file is damaged")
    _draw_missing(matrix, words, found, seed)
    return Vectors(tuple(words), matrix, found, matched, file_words, origin)


def file_vocabulary(path: str | Path, limit: int | None = None) -> list[str]:
    """The file's words, most frequent first (as these files are sorted), at most `limit`. Raises VectorsError."""
    form = _format(path)
    if _is_whole(form):
        return list(_load_whole(path, form).index_to_key[:limit])
    with _opened(path) as file:
        return list(dict.fromkeys(word.decode("utf-8", "ignore") for word, _ in _records(file, form, limit)))


def coverage(found: Bools, counts: npt.ArrayLike) -> tuple[float, float]:
    """Share of the types, and of the tokens, that have a vector; `counts` int[V] tells how often each word is used."""
    used = np.asarray(counts)
    types, tokens = np.count_nonzero(used), used.sum()
    return (
        float(np.count_nonzero(used[found]) / types) if types else 0.0,
        float(used[found].sum() / tokens) if tokens else 0.0,
    )


def coverage_sentence(vectors: Vectors, counts: npt.ArrayLike) -> str:
    """`coverage` for people."""
    types, tokens = coverage(vectors.found, counts)
    ways = ", ".join(f"{number:,} {way}" for way, number in vectors.matched.items())
    found = f"{int(vectors.found.sum()):,} of {len(vectors.words):,} words have one ({ways})"
    return (
        f"word vectors: {vectors.origin}, {vectors.dim} dimensions; {found}:"
        f" {types:.1%} of the words in use, {tokens:.1%} of the running text"
    )


def _fill(matrix: Floats, words: Sequence[str], known: Any) -> tuple[Bools, dict[str, int]]:
    """Copies the vectors of the words that the file knows. What was found, and how many by which way."""
    rows = [_spelling(word, known.key_to_index) for word in words]
    found = np.array([way is not None for way, _ in rows], bool)
    matrix[found] = known.vectors[[row for way, row in rows if way is not None]]
    matched = Counter(way for way, _ in rows if way is not None)
    if getattr(known, "bucket", 0):
        for number in np.flatnonzero(~found).tolist():
            if words[number] in (PAD, UNKNOWN):
                continue
            matrix[number] = known.get_vector(words[number])
            found[number] = matrix[number].any()  # all zero: too short to have subwords
        matched[_SUBWORDS] = int(found.sum()) - matched.total()
    return found, {way: matched[way] for way in (*_VARIANTS, _SUBWORDS) if matched[way]}


def _spelling(word: str, index: dict[str, int]) -> tuple[str | None, int]:
    """How the file spells the word, and its row there."""
    if word != PAD:
        for way, spell in _VARIANTS.items():
            if (row := index.get(spell(word))) is not None:
                return way, row
    return None, -1


def _draw_missing(matrix: Floats, words: Sequence[str], found: Bools, seed: int) -> None:
    missing = ~found & np.array([word != PAD for word in words], bool)
    bound = float(np.sqrt(3 * matrix[found].var(dtype=np.float64))) if found.any() else 0.0
    matrix[missing] = np.random.default_rng(seed).uniform(-bound, bound, (int(missing.sum()), matrix.shape[1]))


def _read(path: str | Path, form: _Format, wanted: Collection[str] | None, limit: int | None) -> tuple[Any, int]:
    """gensim KeyedVectors with at least the wanted words (None: all) that the file has, and how many it has."""
    if _is_whole(form):
        known = _load_whole(path, form)
        if limit is not None:
            known.key_to_index = {word: row for word, row in known.key_to_index.items() if row < limit}
        return known, len(known.key_to_index)
    sought = None if wanted is None else {word.encode("utf-8", "replace") for word in wanted}
    picked: dict[bytes, bytes] = {}
    seen = 0
    with _opened(path) as file:
        for word, row in _records(file, form, limit):
            seen += 1
            if (sought is None or word in sought) and word not in picked and _is_row(path, form, word, row):
                picked[word] = row
        return _parse(form, picked), seen


def _parse(form: _Format, picked: dict[bytes, bytes]) -> Any:
    known = _gensim_models().KeyedVectors(form.dim)
    binary = form.name == "word2vec binary"
    rows = [np.frombuffer(row, "<f4") if binary else np.array(row.split(), np.float32) for row in picked.values()]
    if rows:
        known.add_vectors([word.decode("utf-8", "replace") for word in picked], rows)
    return known


def _is_row(path: str | Path, form: _Format, word: bytes, row: bytes) -> bool:
    """Whether a line of text is the word's: a few files have entries of several words."""
    if form.name == "word2vec binary":
        return True
    numbers = len(row.split())
    if numbers < form.dim:
        raise VectorsError(
            f"{path}: the vector of {word.decode('utf-8', 'replace')!r} has {numbers} numbers, expected {form.dim};"
            " the file is damaged"
        )
    return numbers == form.dim


def _records(file: BinaryIO, form: _Format, limit: int | None) -> Iterator[tuple[bytes, bytes]]:
    """Each word and its vector, as they stand in the file."""
    if form.count is not None:
        file.readline()
    expected = form.count if limit is None or form.count is None else min(limit, form.count)
    records = _binary_records(file, form.dim) if form.name == "word2vec binary" else _text_records(file)
    number = 0
    for record in islice(records, limit if expected is None else expected):
        number += 1
        yield record
    if expected is not None and number < expected:
        raise VectorsError(
            f"the file ends after {number:,} words, its first line promises {form.count:,}; fetch it again, or correct"
            " that line if it was shortened on purpose"
        )


def _text_records(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    for line in file:
        word, _, row = line.rstrip().partition(b" ")
        yield word, row


def _binary_records(file: BinaryIO, dim: int) -> Iterator[tuple[bytes, bytes]]:
    size, rest = 4 * dim, b""
    while chunk := file.read(_CHUNK):
        rest, start = rest + chunk, 0
        while (end := rest.find(b" ", start) + 1) and end + size <= len(rest):
            # the original tool ends each vector with a line end
            yield rest[start : end - 1].lstrip(b"\n"), rest[end : end + size]
            start = end + size
        rest = rest[start:]


def _is_zipped(path: str | Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    """The file's bytes, unzipped. Whatever goes wrong while it is open becomes a VectorsError that names it."""
    with _translated(path), gzip.open(path) if _is_zipped(path) else open(path, "rb") as file:
        buffered = io.BufferedReader(file, _CHUNK)
        if buffered.peek(3).startswith(codecs.BOM_UTF8):
            buffered.read(3)
        yield buffered


@contextmanager
def _unzipped(path: str | Path) -> Iterator[Path]:
    """The file itself, or an unzipped copy: gensim has numpy read fastText's matrix past whatever would unzip it."""
    if not _is_zipped(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "vectors.bin"
        with _opened(path) as file, open(plain, "wb") as copy:
            shutil.copyfileobj(file, copy)
        yield plain


@contextmanager
def _translated(path: str | Path) -> Iterator[None]:
    try:
        yield
    except MissingExtraError:
        raise
    except VectorsError as error:
        raise VectorsError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except FileNotFoundError:
        raise VectorsError(f"there is no file of word vectors at {path}; see model.embedding.vectors") from None
    except Exception as error:  # gensim and gzip raise many kinds on broken files
        raise VectorsError(f"{path} cannot be read as word vectors ({_FORMATS}): {error}") from error


def _format(path: str | Path) -> _Format:
    with _opened(path) as file:
        head = file.read(_HEAD)
        if head.startswith(_FASTTEXT_MAGIC):
            return _Format("fastText binary")
        if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            if ".kv" not in Path(path).suffixes:
                raise VectorsError(
                    "a Python pickle can run code when loaded; if this is gensim's and your own, name it .kv"
                )
            return _Format("gensim KeyedVectors")
        first, _, rest = head.partition(b"\n")
        second = rest.partition(b"\n")[0]
        header = first.split()
        if len(header) == 2 and all(map(bytes.isdigit, header)) and int(header[1]):
            count, dim = map(int, header)
            return _Format("word2vec text" if _numbers(second) else "word2vec binary", dim, count)
        if dim := _numbers(first):
            return _Format("GloVe text", dim)
        raise VectorsError(f"found a file that begins with {head[:40]!r}, expected {_FORMATS}")


def _numbers(line: bytes) -> int:
    """How many numbers follow the first word of a line, or 0 if something else does."""
    fields = line.split()[1:]
    try:
        return len([float(field) for field in fields])
    except ValueError:
        return 0


def _is_whole(form: _Format) -> bool:
    return form.name in ("fastText binary", "gensim KeyedVectors")


def _load_whole(path: str | Path, form: _Format) -> Any:
    """fastText .bin or .kv by gensim."""
    models = _gensim_models()
    with _translated(path):
        if form.name == "fastText binary":
            with _unzipped(path) as plain:
                return models.fasttext.load_facebook_vectors(str(plain))
        known = models.KeyedVectors.load(str(path))
        if not isinstance(known, models.KeyedVectors):
            raise VectorsError(f"found a {type(known).__name__}, expected KeyedVectors; save its .wv instead")
        return known


def _gensim_models() -> Any:
    with needs_extra("reading word vectors", "train"):
        from gensim import models
    return models
