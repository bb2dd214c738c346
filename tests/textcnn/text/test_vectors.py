from __future__ import annotations

import codecs
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import save_facebook_model

from textcnn.errors import MissingExtraError, VectorsError
from textcnn.text import vectors as vectors_module
from textcnn.text.vectors import coverage, coverage_sentence, file_vocabulary, load_vectors

WORDS = ["the", "film", "Paris", "NASA", "straße", "фильм", "电影", "don't"]
ROWS = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)


def keyed() -> KeyedVectors:
    vectors = KeyedVectors(5)
    vectors.add_vectors(WORDS, ROWS)
    return vectors


def write_glove(path: Path) -> None:
    lines = [" ".join([word, *map(repr, row.tolist())]) for word, row in zip(WORDS, ROWS, strict=True)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_vec(path: Path) -> None:
    """As fastText writes it: a space before each line end."""
    lines = [" ".join([word, *map(repr, row.tolist())]) + " \n" for word, row in zip(WORDS, ROWS, strict=True)]
    path.write_text(f"{len(WORDS)} 5\n" + "".join(lines), "utf-8")


def write_old_binary(path: Path) -> None:
    """As the first word2vec tool writes it: a line end after each vector."""
    rows = [word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(WORDS, ROWS, strict=True)]
    path.write_bytes(f"{len(WORDS)} 5\n".encode() + b"".join(rows))


WRITERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "v.bin": ("word2vec binary", lambda path: keyed().save_word2vec_format(str(path), binary=True)),
    "old.bin": ("word2vec binary", write_old_binary),
    "v.txt": ("word2vec text", lambda path: keyed().save_word2vec_format(str(path))),
    "fasttext.vec": ("word2vec text", write_vec),
    "glove.txt": ("GloVe text", write_glove),
    "v.kv": ("gensim KeyedVectors", lambda path: keyed().save(str(path))),
}


@pytest.fixture(params=[*WRITERS, *(f"{name}.gz" for name in WRITERS)])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same vectors in every format, plain and zipped."""
    name = request.param.removesuffix(".gz")
    path = tmp_path / name
    if name == "v.kv":
        WRITERS[name][1](tmp_path / request.param)
        return tmp_path / str(request.param)
    WRITERS[name][1](path)
    if request.param != name:
        path = tmp_path / request.param
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    return path


@pytest.fixture(scope="module")
def fasttext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny fastText .bin; trained on 'film' and 'good'."""
    model = FastText(
        [["film", "good", "film"]] * 10, vector_size=4, min_count=1, bucket=50, epochs=1, workers=1, seed=1
    )
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    save_facebook_model(model, str(path))
    return path


def glove(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_every_format_gives_the_same_vectors(file: Path) -> None:
    vectors = load_vectors(file, ["film", "<pad>", "电影", "missing", "don't"])
    assert vectors.matrix.dtype == np.float32
    assert vectors.found.tolist() == [True, False, True, False, True]
    np.testing.assert_array_equal(vectors.matrix[[0, 2, 4]], ROWS[[1, 6, 7]])
    assert (vectors.dim, vectors.file_words, vectors.matched) == (5, len(WORDS), {"exact": 3})
    assert vectors.origin == f"{file.name} ({WRITERS[file.name.removesuffix('.gz')][0]})"


def test_every_format_tells_its_vocabulary(file: Path) -> None:
    assert file_vocabulary(file) == WORDS
    assert file_vocabulary(file, limit=2) == WORDS[:2]


def test_every_format_can_be_read_whole_or_from_its_start(file: Path) -> None:
    whole = load_vectors(file)
    assert (whole.words, whole.found.all()) == (tuple(WORDS), True)
    np.testing.assert_array_equal(whole.matrix, ROWS)
    start = load_vectors(file, limit=2)
    assert (start.words, start.file_words) == (tuple(WORDS[:2]), 2)
    assert load_vectors(file, ["the", "Paris"], limit=2).found.tolist() == [True, False]


def test_of_a_text_or_binary_file_only_the_rows_that_are_wanted_are_kept(tmp_path: Path) -> None:
    for name in ("v.bin", "v.txt", "glove.txt"):
        WRITERS[name][1](path := tmp_path / name)
        known, words = vectors_module._read(path, vectors_module._format(path), {"film", "none"}, None)
        assert (list(known.key_to_index), words) == (["film"], len(WORDS))


def test_a_file_has_as_many_words_as_its_first_line_says(tmp_path: Path) -> None:
    path = glove(tmp_path / "v.txt", "2 3\na 1 2 3\nb 4 5 6\nc 7 8 9\n")
    assert load_vectors(path).words == tuple(file_vocabulary(path, limit=9)) == ("a", "b")


def test_the_format_is_found_from_the_content_not_the_name(tmp_path: Path) -> None:
    for name, wrong in [("v.bin", "v.txt"), ("glove.txt", "glove.bin"), ("fasttext.vec", "vectors")]:
        WRITERS[name][1](tmp_path / wrong)
        zipped = tmp_path / "zipped"
        zipped.write_bytes(gzip.compress((tmp_path / wrong).read_bytes()))
        for path in (tmp_path / wrong, zipped):
            np.testing.assert_array_equal(load_vectors(path, WORDS).matrix, ROWS)


@pytest.mark.parametrize("name", ["glove.txt", "v.txt"])
def test_a_text_file_as_windows_editors_write_it_is_the_same(tmp_path: Path, name: str) -> None:
    WRITERS[name][1](path := tmp_path / name)
    expected = load_vectors(path)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    found = load_vectors(path)
    assert found.words == expected.words
    np.testing.assert_array_equal(found.matrix, expected.matrix)


def test_other_spellings_are_tried_and_counted(tmp_path: Path) -> None:
    write_glove(tmp_path / "v.txt")
    words = ["film", "The", "STRAßE", "FILM", "paris", "nasa", "ФИЛЬМ"]
    vectors = load_vectors(tmp_path / "v.txt", words)
    assert vectors.matched == {"exact": 1, "lower-case": 4, "capitalised": 1, "upper-case": 1}
    np.testing.assert_array_equal(vectors.matrix, ROWS[[1, 0, 4, 1, 2, 3, 5]])


def test_an_exact_spelling_wins(tmp_path: Path) -> None:
    path = glove(tmp_path / "v.txt", "us 1 1\nUS 2 2\nUs 3 3\n")
    assert load_vectors(path, ["US", "Us", "us"]).matrix[:, 0].tolist() == [2, 3, 1]


def test_missing_words_have_the_variance_of_the_found_ones(tmp_path: Path) -> None:
    write_glove(tmp_path / "v.txt")
    words = ["<pad>", "<unk>", *WORDS, *(f"missing{i}" for i in range(3000))]
    vectors = load_vectors(tmp_path / "v.txt", words, seed=3)
    drawn = vectors.matrix[~vectors.found][1:]
    bound = np.sqrt(3 * ROWS.var())
    assert not vectors.matrix[0].any()
    assert vectors.matrix[1].any()
    assert np.abs(drawn).max() <= bound
    assert drawn.var() == pytest.approx(ROWS.var(), rel=0.05)
    np.testing.assert_array_equal(load_vectors(tmp_path / "v.txt", words, seed=3).matrix, vectors.matrix)
    assert (load_vectors(tmp_path / "v.txt", words, seed=4).matrix[1] != vectors.matrix[1]).any()


def test_unknown_words_get_subword_vectors_from_fasttext(fasttext: Path) -> None:
    vectors = load_vectors(fasttext, ["<pad>", "<unk>", "film", "films", "GOOD"])
    assert vectors.matched == {"exact": 1, "lower-case": 1, "from subwords": 1}
    assert vectors.found.tolist() == [False, False, True, True, True]
    assert not vectors.matrix[0].any()
    assert "fastText binary" in vectors.origin
    zipped = fasttext.with_suffix(".bin.gz")
    zipped.write_bytes(gzip.compress(fasttext.read_bytes()))
    np.testing.assert_array_equal(load_vectors(zipped, vectors.words).matrix, vectors.matrix)
    assert sorted(file_vocabulary(fasttext)) == ["film", "good"]


def test_lines_of_several_words_are_passed_over_and_the_first_of_two_counts(tmp_path: Path) -> None:
    path = glove(tmp_path / "v.txt", "the 1 2\n. . 3 4\n. 5 6\nthe 7 8\n")
    assert load_vectors(path, [".", "the"]).matrix.tolist() == [[5, 6], [1, 2]]


def test_coverage_counts_types_and_tokens_in_use(tmp_path: Path) -> None:
    write_glove(tmp_path / "v.txt")
    vectors = load_vectors(tmp_path / "v.txt", ["<pad>", "<unk>", "film", "paris", "missing", "unused"])
    counts = np.array([0, 0, 6, 1, 3, 0])
    assert coverage(vectors.found, counts) == pytest.approx((2 / 3, 0.7))
    assert coverage(vectors.found, np.zeros(6, int)) == (0.0, 0.0)
    assert coverage_sentence(vectors, counts) == (
        "word vectors: v.txt (GloVe text), 5 dimensions; 2 of 6 words have one (1 exact, 1 capitalised):"
        " 66.7% of the words in use, 70.0% of the running text"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found a file that begins with b''"),
        (b"<!DOCTYPE html>\n<html>", "begins with b'<!DOCTYPE html>"),
        (b"3 2\nfilm 1 2\ngood 3 4\n", "ends after 2 words, its first line promises 3"),
        (b"2 2\nfilm 1 2\ngood 3\n", "the vector of 'good' has 1 numbers, expected 2"),
        (b"2 0\nfilm\ngood\n", "the vector of 'film' has 0 numbers"),
        (b"film 1 2\ngood 3\n", "the vector of 'good' has 1 numbers, expected 2"),
        (b"film 1 2\ngood 3 x\n", "could not convert string"),
        (b"film 1 nan\ngood 3 4\n", "NaN or infinity"),
        (b"2 2\nfilm " + ROWS.tobytes()[:8] + b"good " + ROWS.tobytes()[:7], "ends after 1 words"),
        (gzip.compress(b"film 1 2\ngood 3 4\n" * 9000)[:-9], "Compressed file ended"),
        (b"\xba\x16\x4f\x2f\x0c\x00\x00\x00broken", "cannot be read as word vectors"),
        (b"\x80\x04N.", "a Python pickle can run code"),
        (b"other 1 2\nwords 3 4\n", "none of the 2 words has a vector.*first words are 'other', 'words'"),
    ],
)
def test_a_file_that_does_not_fit_is_explained(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(VectorsError, match=f"(?s){path}.*{message}"):
        load_vectors(path, ["film", "good"])


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    for load in (load_vectors, file_vocabulary):
        with pytest.raises(VectorsError, match=r"no file of word vectors at .*model\.embedding\.vectors"):
            load(tmp_path / "none.txt")
    with pytest.raises(VectorsError, match="cannot be read"):
        load_vectors(tmp_path)


def test_a_kv_file_of_something_else_is_refused(fasttext: Path, tmp_path: Path) -> None:
    model = FastText([["film"]] * 2, vector_size=4, min_count=1, bucket=5, epochs=1, workers=1)
    model.save(str(tmp_path / "model.kv"))
    with pytest.raises(VectorsError, match="found a FastText, expected KeyedVectors; save its .wv instead"):
        load_vectors(tmp_path / "model.kv")
    model.wv.save(str(tmp_path / "words.kv"))
    assert load_vectors(tmp_path / "words.kv", ["films"]).matched == {"from subwords": 1}


def test_without_gensim_the_command_to_install_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_glove(tmp_path / "v.txt")
    monkeypatch.setitem(sys.modules, "gensim", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'textcnn\[train\]'"):
        load_vectors(tmp_path / "v.txt", ["film"])
