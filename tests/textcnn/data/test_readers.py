from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textcnn.data import formats, records
from textcnn.data.readers import Examples, ReadOptions, TextChunk, iter_texts, read_examples
from textcnn.errors import BadRowsError, ColumnError, ConfigError, ReadError

ROWS = [("Good, really", "pos"), ("bad\nvery bad", "neg"), ('so "so"', "neutral"), ("über schön 体", "pos")]

in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def write(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def as_csv(rows: list[tuple[str, str]], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("text", "label"), *rows])
    return file.getvalue()


def pairs(examples: Examples) -> list[tuple[str, str]]:
    return list(zip(examples.texts, examples.labels, strict=True))


def side_rows(examples: Examples) -> list[list[str]]:
    assert examples.side_file is not None
    with examples.side_file.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def chunks_of(path: Path, **options: object) -> list[TextChunk]:
    return list(iter_texts(path, ReadOptions(**options)))  # type: ignore[arg-type]


# --- formats


JSON_LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)


def parquet_bytes(**columns: object) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


FORMATS = {
    "a.csv": as_csv(ROWS).encode(),
    "a.CSV": as_csv(ROWS).encode(),
    "a.tsv": as_csv(ROWS, "\t").encode(),
    "a.txt": as_csv(ROWS, ";").encode(),
    "a.jsonl": JSON_LINES.encode(),
    "a.ndjson": JSON_LINES.encode(),
    "a.csv.gz": gzip.compress(as_csv(ROWS).encode()),
    "a.csv.zst": pa.compress(as_csv(ROWS).encode(), "zstd", asbytes=True),
    "a.tsv.gz": gzip.compress(as_csv(ROWS, "\t").encode()),
    "a.jsonl.gz": gzip.compress(JSON_LINES.encode()),
    "a.jsonl.zst": pa.compress(JSON_LINES.encode(), "zstd", asbytes=True),
    "a.parquet": parquet_bytes(text=[text for text, _ in ROWS], label=[label for _, label in ROWS]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, FORMATS[name])
    examples = read_examples(path)
    assert pairs(examples) == ROWS
    assert len(examples) == 4
    first = 2 if examples.delimiter else 1
    assert examples.row_numbers.tolist() == list(range(first, first + 4))
    assert examples.row_numbers.dtype == np.int64
    assert examples.table.num_rows == 4
    assert examples.text_columns == ("text",)
    assert examples.label_column == "label"
    assert (examples.skipped, examples.side_file) == (0, None)
    (chunk,) = iter_texts(path)
    assert chunk.texts == examples.texts
    assert chunk.row_numbers.tolist() == examples.row_numbers.tolist()
    assert isinstance(chunk.batch, pa.RecordBatch)


def test_without_labels_only_the_text_is_needed(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path / "a.csv", "id,text\n1,a\n2,b\n"), labels=False)
    assert examples.texts == ["a", "b"]
    assert examples.labels == []
    assert examples.label_column == ""


def test_numbers_truth_values_and_categories_become_their_strings(tmp_path: Path) -> None:
    lines = '{"text": 12, "label": 1}\n{"text": "b", "label": 2.5}\n{"text": "c", "label": true}\n'
    assert pairs(read_examples(write(tmp_path / "a.jsonl", lines))) == [("12", "1"), ("b", "2.5"), ("c", "true")]
    texts = pa.array(["a", "b"]).dictionary_encode()
    path = write(tmp_path / "a.parquet", parquet_bytes(text=texts, label=[3, 4]))
    assert pairs(read_examples(path)) == [("a", "3"), ("b", "4")]


def test_strings_that_look_like_numbers_dates_or_nulls_stay_as_they_are(tmp_path: Path) -> None:
    rows = [("007", "1.0"), ("2020-01-01", "NA"), ("null", "true"), ("1e5", "None")]
    assert pairs(read_examples(write(tmp_path / "a.csv", as_csv(rows)))) == rows


def test_labels_lose_surrounding_white_space_and_texts_do_not(tmp_path: Path) -> None:
    assert pairs(read_examples(write(tmp_path / "a.csv", "text,label\n a , pos \n"))) == [(" a ", "pos")]


def test_the_table_holds_every_column_of_the_usable_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text,label,lang\n1,a,x,en\n2,,y,de\n3,c,z,fr\n")
    table = read_examples(path, ReadOptions(bad_rows="skip")).table
    assert table.to_pydict() == {"id": ["1", "3"], "text": ["a", "c"], "label": ["x", "z"], "lang": ["en", "fr"]}


def test_json_lines_may_differ_in_their_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 30)
    monkeypatch.setattr(formats, "HEADER_BYTES", 30)
    lines = '{"text": "a", "label": "x"}\n{"label": "y", "id": {"n": 1}, "text": "b"}\n'
    examples = read_examples(write(tmp_path / "a.jsonl", lines))
    assert pairs(examples) == [("a", "x"), ("b", "y")]
    assert examples.table.column("id").to_pylist() == [None, '{"n": 1}']


def test_json_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    lines = '\n{"text": "a", "label": "x"}\r\n\r\n{"text": "b", "label": "y"}'
    assert read_examples(write(tmp_path / "a.jsonl", lines)).row_numbers.tolist() == [2, 4]


# --- columns


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        ("text,label", ("text",), "label"),
        ("Label,TEXT", ("TEXT",), "Label"),
        ("id,Review,Sentiment", ("Review",), "Sentiment"),
        ("class,title,description", ("title", "description"), "class"),
        ("phrase,label", ("phrase",), "label"),
        ("tweet,mood", ("tweet",), "mood"),
        ("topic,question,body", ("body",), "topic"),
        ("id,utterance,intent,split", ("utterance",), "intent"),
        (" text , y ", ("text",), "y"),
    ],
)
def test_columns_are_guessed_from_the_header(tmp_path: Path, header: str, text: tuple[str], label: str) -> None:
    row = ",".join("abcd"[: header.count(",") + 1])
    examples = read_examples(write(tmp_path / "a.csv", f"{header}\n{row}\n"))
    assert (examples.text_columns, examples.label_column) == (text, label)
    assert any("guessed" in note and repr(label) in note for note in examples.notes)


def test_the_only_column_of_an_unlabelled_file_is_its_text(tmp_path: Path) -> None:
    (chunk,) = chunks_of(write(tmp_path / "a.csv", 'phrase\nhello\n"a, b"\n'))
    assert chunk.texts == ["hello", "a, b"]


def test_several_text_columns_are_joined_by_a_space(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "title,body,label\na,b,x\n,c,y\nd,,z\n")
    options = ReadOptions(text_columns=("title", "body"))
    assert read_examples(path, options).texts == ["a b", "c", "d"]


def test_columns_that_are_asked_for_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label,summary,Mood\na,x,b,y\n")
    examples = read_examples(path, ReadOptions(text_columns=("summary",), label_column="mood"))
    assert pairs(examples) == [("b", "y")]
    assert not any("guessed" in note for note in examples.notes)


COLUMN_FAULTS = {
    "no text": ("a,b,label\n1,2,3\n", {}, ["which column holds the text", "'a', 'b', 'label'", "--text-column"]),
    "no label": ("text,a,b\n1,2,3\n", {}, ["which column holds the label", "'text', 'a', 'b'", "--label-column"]),
    "unknown text": (
        "text,label\na,b\n",
        {"text_columns": ("texts",)},
        ["no column 'texts'", "did you mean 'text'", "the columns are 'text', 'label'"],
    ),
    "unknown label": ("text,label\na,b\n", {"label_column": "lable"}, ["no column 'lable'", "did you mean 'label'"]),
    "unknown needed": ("text,label\na,b\n", {"columns_needed": ("lang",)}, ["no column 'lang'", "'text', 'label'"]),
    "twice": ("text,text,label\na,b,c\n", {}, ["several columns 'text'", "rename"]),
    "same": ("text,label\na,b\n", {"text_columns": ("label",), "label_column": "label"}, ["both as text and as label"]),
    "no header": (
        "I loved this film so much,positive\nbad,negative\n",
        {},
        ["first row does not look like a header", "'I loved this film so much', 'positive'", "text,label"],
    ),
    "no header but columns": (
        "1,a b c,x\n",
        {"text_columns": ("text",)},
        ["no column 'text'", "not look like a header"],
    ),
}


@pytest.mark.parametrize("case", COLUMN_FAULTS)
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, case: str) -> None:
    content, options, words = COLUMN_FAULTS[case]
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(ColumnError) as error:
        read_examples(path, ReadOptions(**options))
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_a_headerless_file_to_classify_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="first row does not look like a header"):
        chunks_of(write(tmp_path / "a.csv", "what a long first sentence it is\nhi\n"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_column_of_lists_is_no_text(tmp_path: Path, name: str) -> None:
    content = {"a.jsonl": b'{"text": ["a"], "label": "x"}\n', "a.parquet": parquet_bytes(text=[["a"]], label=["x"])}
    with pytest.raises(ColumnError, match="column 'text' holds lists or objects"):
        read_examples(write(tmp_path / name, content[name]))


# --- delimiters and quotes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected_in_the_header(tmp_path: Path, delimiter: str) -> None:
    examples = read_examples(write(tmp_path / "a.csv", as_csv(ROWS, delimiter)))
    assert pairs(examples) == ROWS
    assert examples.delimiter == delimiter
    assert f"delimiter {delimiter!r} (detected)" in examples.notes


def test_delimiters_within_quoted_column_names_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"text;a;b;c",label\nx,y\n')
    assert read_examples(path, ReadOptions(text_columns=("text;a;b;c",))).delimiter == ","


def test_the_delimiter_that_is_given_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text~label\na,b;c~x\n")
    assert pairs(read_examples(path, ReadOptions(delimiter="~"))) == [("a,b;c", "x")]
    assert ReadOptions(delimiter="tab").delimiter == ReadOptions(delimiter="\\t").delimiter == "\t"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read(tmp_path: Path, line_end: str) -> None:
    content = line_end.join(["text,label", "a,x", "", '"b\r\nc",y', "d,z"])
    examples = read_examples(write(tmp_path / "a.csv", content))
    assert pairs(examples) == [("a", "x"), ("b\r\nc", "y"), ("d", "z")]
    assert examples.row_numbers.tolist() == [2, 4, 5]


def test_quotes_within_fields_are_text(tmp_path: Path) -> None:
    rows = read_examples(write(tmp_path / "a.csv", 'text,label\n5" disk,x\nsay "a" or "b",y\n"c",z\n'))
    assert pairs(rows) == [('5" disk', "x"), ('say "a" or "b"', "y"), ("c", "z")]


def test_a_tab_file_without_quoting_keeps_its_quotes(tmp_path: Path) -> None:
    content = 'text\tlabel\n"Hello" he said\t1\nShe said "hi" to me\t0\n"an open start\t1\nan open end"\t0\n'
    examples = read_examples(write(tmp_path / "a.tsv", content))
    assert examples.texts == ['"Hello" he said', 'She said "hi" to me', '"an open start', 'an open end"']
    assert any("quotes are taken as plain characters" in note for note in examples.notes)


def test_zero_bytes_are_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na\0b,x\nc\0\0,y\n")
    assert read_examples(path).texts == ["a\0b", "c\0\0"]


@pytest.mark.parametrize("text", ["x" * 10_000_000, '"\n' * 5_000_000], ids=["plain", "quotes and line ends"])
def test_a_field_of_ten_million_characters_is_read(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.csv", as_csv([("a", "x"), (text, "y"), ("b", "z")]))
    examples = read_examples(path)
    assert examples.texts[1] == text
    assert examples.row_numbers.tolist() == [2, 3, 4]


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(records, "BLOCK_BYTES", 100)
    monkeypatch.setattr(formats, "HEADER_BYTES", 100)
    for start in ("", '"'):
        with pytest.raises(ReadError, match=r"row 3 is longer than .* is this a text file"):
            read_examples(write(tmp_path / "a.csv", "text,label\na,b\n" + start + "x" * 5000))


# --- encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings_are_detected_with_and_without_mark(tmp_path: Path, encoding: str) -> None:
    examples = read_examples(write(tmp_path / "a.csv", as_csv(ROWS), encoding))
    assert pairs(examples) == ROWS
    assert examples.text_columns == ("text",)
    assert any(note.startswith(f"encoding {examples.encoding} (") for note in examples.notes)


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        ("cp1251", ["Отличный банк, всё быстро", "Очередь на час, ужас", "Карту так и не привезли"]),
        ("cp1252", ["Très déçu par le café", "Schöne Grüße aus München", "El niño comió mañana"]),
        ("gb18030", ["体验巅峰倚天屠龙记十大创新概览", "年铁树开花形状似玉米芯", "锌价难续去年辉煌"]),
    ],
)
def test_legacy_encodings_are_guessed_and_said(tmp_path: Path, encoding: str, texts: list[str]) -> None:
    rows = [(text, "x") for text in texts]
    examples = read_examples(write(tmp_path / "a.csv", as_csv(rows), encoding))
    assert pairs(examples) == rows
    assert any(f"encoding {encoding} (guessed" in note and "--encoding" in note for note in examples.notes)


def test_the_encoding_that_is_given_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", as_csv([("Привет", "x")]), "koi8-r")
    examples = read_examples(path, ReadOptions(encoding="KOI8-R"))
    assert (examples.texts, examples.encoding) == (["Привет"], "koi8-r")


def test_one_broken_byte_deep_in_an_ascii_file_is_a_bad_row(tmp_path: Path) -> None:
    lines = [b"text,label", *(b"text number %d,x" % n for n in range(40_000))]
    lines[29_999] = b"caf\xe9,x"
    path = write(tmp_path / "a.csv", b"\n".join(lines))
    with pytest.raises(BadRowsError) as error:
        read_examples(path)
    assert (error.value.total, error.value.shown[0][0]) == (1, 30_000)
    assert "byte 0xe9 at character 4 is not utf-8" in str(error.value)
    assert "--encoding" in str(error.value)


def test_undecodable_bytes_reach_the_side_file_unchanged(tmp_path: Path) -> None:
    content = "text,label\nüber,x\nschön,x\nKäse,x\n".encode() + b"caf\xe9,x\n"
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(bad_rows="skip"))
    assert examples.texts == ["über", "schön", "Käse"]
    assert examples.encoding == "utf-8"
    assert examples.side_file is not None
    assert b'"caf\xe9,x"' in examples.side_file.read_bytes()


def test_bytes_that_a_legacy_encoding_lacks_are_a_bad_row(tmp_path: Path) -> None:
    content = "text,label\nПривет,x\n".encode("cp1251") + b"\xef\x98,y\nok,z\n"
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(encoding="cp1251", bad_rows="skip"))
    assert examples.texts == ["Привет", "ok"]
    assert examples.side_file is not None
    assert '"п'.encode() + b'\x98,y"' in examples.side_file.read_bytes()


def test_half_a_character_of_utf16_is_a_bad_row(tmp_path: Path) -> None:
    content = "text,label\nПривет,x\n".encode("utf-16") + b"a\0\x00\xd8,\0y\0\n\0"
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(bad_rows="skip"))
    assert (examples.texts, examples.skipped) == (["Привет"], 1)


def test_a_file_that_ends_within_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be decoded: .*truncated.* cut short"):
        read_examples(write(tmp_path / "a.csv", as_csv(ROWS).encode("utf-16")[:-1]))


# --- bad rows


BAD = 'text,label\na,x\nb\n\n"c",y,z\n ,x\nd, \n"e\nf",y\n'
BAD_ROWS = [
    (3, "1 field where the header has 2", "b"),
    (5, "3 fields where the header has 2", '"c",y,z'),
    (6, "the text is empty", " ,x"),
    (7, "the label is missing", "d, "),
]


def test_bad_rows_stop_the_reading_with_numbers_reasons_and_advice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", BAD)
    with pytest.raises(BadRowsError) as error:
        read_examples(path)
    assert error.value.total == 4
    assert error.value.shown == tuple((number, reason) for number, reason, _ in BAD_ROWS)
    message = str(error.value)
    assert message.startswith(f"{path}: 4 rows cannot be used")
    assert "row 3: 1 field where the header has 2" in message
    assert "--bad-rows skip" in message
    assert list(tmp_path.iterdir()) == [path]


def test_bad_rows_go_unchanged_to_a_side_file(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path / "a.csv", BAD), ReadOptions(bad_rows="skip"))
    assert pairs(examples) == [("a", "x"), ("e\nf", "y")]
    assert examples.row_numbers.tolist() == [2, 8]
    assert examples.skipped == 4
    assert examples.side_file == tmp_path / "a.csv.bad-rows.csv"
    assert side_rows(examples) == [["row", "reason", "record"], *([str(n), why, row] for n, why, row in BAD_ROWS)]
    assert any("4 bad rows were left out" in note and str(examples.side_file) in note for note in examples.notes)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "a.csv.bad-rows.csv"]


def test_at_most_twenty_bad_rows_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    with pytest.raises(BadRowsError) as error:
        read_examples(write(tmp_path / "a.csv", "text,label\n" + "a\n" * 1000))
    assert (error.value.total, len(error.value.shown)) == (1000, 20)
    assert "... and 980 more" in str(error.value)


def test_a_quote_that_is_never_closed_is_named_by_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\na,x\n"b,y\nc,z\nd,x\n')
    with pytest.raises(BadRowsError, match="row 3: the quote that opens here is never closed"):
        read_examples(path)
    examples = read_examples(path, ReadOptions(bad_rows="skip"))
    assert examples.texts == ["a", "c", "d"]
    assert side_rows(examples)[1][2] == '"b,y'


def test_a_quote_that_a_later_row_closes_is_named_by_its_row(tmp_path: Path) -> None:
    content = 'text,label\n"a",x\n"b,y\n"c",z\n"d",x\n'
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(BadRowsError, match="row 3: a quote is missing or not doubled: this row swallows the next line"):
        read_examples(path)
    examples = read_examples(path, ReadOptions(bad_rows="skip"))
    assert examples.texts == ["a", "d"]
    assert side_rows(examples)[1][2] == '"b,y\n"c",z'


def test_an_open_quote_in_a_long_file_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 500)
    monkeypatch.setattr(records, "BLOCK_BYTES", 100)
    monkeypatch.setattr(formats, "HEADER_BYTES", 100)
    content = 'text,label\n"a,x\n' + "b,y\n" * 1000
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(bad_rows="skip"))
    assert (len(examples), examples.skipped) == (1000, 1)
    assert examples.row_numbers[[0, -1]].tolist() == [3, 1002]


def test_bad_json_lines_are_named_by_their_line(tmp_path: Path) -> None:
    lines = [
        '{"text": "a", "label": "x"}',
        '{"text": "b", ',
        "[1]",
        '{"text": "c"}',
        '{"label": "x"}',
        '{"text": "\\ud800", "label": "x"}',
        "[" * 100_000,
        '{"text": "d", "label": "y"}',
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    examples = read_examples(path, ReadOptions(bad_rows="skip"))
    assert pairs(examples) == [("a", "x"), ("d", "y")]
    assert examples.row_numbers.tolist() == [1, 8]
    bad = side_rows(examples)[1:]
    assert [int(row) for row, _, _ in bad] == [2, 3, 4, 5, 6, 7]
    assert [record for _, _, record in bad] == lines[1:7]
    reasons = [reason for _, reason, _ in bad]
    for reason, words in zip(
        reasons,
        ["not valid JSON", "list where a JSON object", "label is missing", "text is empty", "surrogate", "recursion"],
        strict=True,
    ):
        assert words in reason


def test_bad_rows_of_parquet_are_kept_as_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", parquet_bytes(text=["a", None, "c"], label=[1, 2, None]))
    examples = read_examples(path, ReadOptions(bad_rows="skip"))
    assert pairs(examples) == [("a", "1")]
    assert side_rows(examples)[1:] == [
        ["2", "the text is empty", '{"text": null, "label": 2}'],
        ["3", "the label is missing", '{"text": "c", "label": null}'],
    ]


def test_the_side_file_goes_to_the_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "side").mkdir()
    options = ReadOptions(bad_rows="skip", side_folder=tmp_path / "side")
    assert read_examples(write(tmp_path / "a.csv", BAD), options).side_file == tmp_path / "side" / "a.csv.bad-rows.csv"


def test_the_side_file_goes_to_the_current_folder_if_the_other_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ReadOptions(bad_rows="skip", side_folder=tmp_path / "missing")
    assert read_examples(write(tmp_path / "a.csv", BAD), options).side_file == tmp_path / "a.csv.bad-rows.csv"


def test_rows_that_cannot_be_kept_are_not_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", BAD)
    monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "gone")
    with pytest.raises(ReadError, match="bad rows that cannot be kept: neither .*missing nor .*gone can be written"):
        read_examples(path, ReadOptions(bad_rows="skip", side_folder=tmp_path / "missing"))


def test_a_reading_that_fails_leaves_no_side_file(tmp_path: Path) -> None:
    content = "text,label\nonly\n" + "".join(f"text number {n} of many,x\n" for n in range(2_000_000 // 20))
    path = write(tmp_path / "a.csv.gz", gzip.compress(content.encode(), 1)[:-100])
    with pytest.raises(ReadError, match="cut short"):
        read_examples(path, ReadOptions(bad_rows="skip", encoding="utf-8"))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_bad_rows_only_is_an_error_that_keeps_them(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"no row can be used; all 2 are in .*a\.csv\.bad-rows\.csv"):
        read_examples(write(tmp_path / "a.csv", "text,label\n,x\na\n"), ReadOptions(bad_rows="skip"))
    assert (tmp_path / "a.csv.bad-rows.csv").exists()


# --- files that cannot be read


READ_FAULTS = {
    "a.csv": (b"", ["is empty", "line of column names"]),
    "b.csv": (b"\xef\xbb\xbf\n\n", ["is empty"]),
    "c.csv": (b"text,label\n\n", ["has column names but no rows"]),
    "d.csv": (b'"text,label\na,b\n', ["the header, row 1", "quote that opens here is never closed"]),
    "e.csv": (b"PK\x03\x04rest", ["Excel workbook", "CSV"]),
    "f.csv": (gzip.compress(b"text,label\na,b\n"), ["gzip data", "ends in .gz"]),
    "g.csv": (b"x" * 200_000, ["has no header", "column names such as text,label"]),
    "a.xlsx": (b"PK", ["cannot tell the format from '.xlsx'", ".csv, .tsv, .txt, .jsonl, .ndjson, .parquet", ".gz"]),
    "a.json": (b"[]", ["'.json'", "did you mean '.jsonl'"]),
    "a": (b"text", ["cannot tell the format from no ending"]),
    "a.parquet.gz": (b"", ["'.parquet.gz'"]),
    "a.csv.gz": (b"text,label\na,b\n", ["cannot be read", "damaged"]),
    "b.csv.gz": (FORMATS["a.csv.gz"][:-10], ["cannot be read", "cut short"]),
    "a.csv.zst": (b"text,label\na,b\n", ["cannot be read", "damaged"]),
    "a.parquet": (b"PAR1 and no more", ["cannot be read", "damaged"]),
    "b.parquet": (b"", ["is empty", "Parquet"]),
    "c.parquet": (FORMATS["a.parquet"][:-20], ["cannot be read"]),
    "d.parquet": (parquet_bytes(text=pa.array([], pa.string()), label=pa.array([], pa.string())), ["no rows"]),
    "a.jsonl": (b"\n", ["is empty", "JSON object a line"]),
    "b.jsonl": (b'[{"text": "a"}]', ["one JSON array", "jq"]),
    "c.jsonl": (b"text,label\na,b\n", ["no line is a JSON object", "row 1: not valid JSON"]),
    "d.jsonl": (b"{}\n", ["no line is a JSON object with columns"]),
}


@pytest.mark.parametrize("name", READ_FAULTS)
def test_a_file_that_cannot_be_read_says_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    content, words = READ_FAULTS[name]
    path = write(tmp_path / name, content)
    for read in (read_examples, chunks_of):
        with pytest.raises(ReadError) as error:
            read(path)
        for word in [str(path), *words]:
            assert word in str(error.value)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "")
    with pytest.raises(ReadError, match=r"no such file; did you mean 'train\.csv'"):
        read_examples(tmp_path / "trian.csv")
    with pytest.raises(ReadError, match="no such file"):
        read_examples(tmp_path / "no folder" / "train.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="is a folder"):
        read_examples(tmp_path)


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,b\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ReadError, match="no permission to read it"):
        read_examples(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delimiter": "ab"}, "delimiter: expected one ASCII character"),
        ({"delimiter": '"'}, "delimiter"),
        ({"encoding": "utf9"}, "'utf9' is no text encoding .* did you mean 'utf-8'"),
        ({"encoding": "base64"}, "'base64' is no text encoding"),
        ({"bad_rows": "drop"}, "expected stop or skip, found 'drop'"),
    ],
)
def test_options_are_checked_before_any_work(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ReadOptions(**options)  # type: ignore[arg-type]


# --- streaming


def test_a_stream_gives_chunks_of_at_most_the_rows_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,id\n" + "".join(f"t{n},{n}\n" for n in range(10)))
    stream = iter_texts(path, batch_rows=4)
    assert (stream.text_columns, stream.encoding, stream.delimiter) == (("text",), "utf-8", ",")
    chunks = list(stream)
    assert [len(chunk.texts) for chunk in chunks] == [4, 4, 2]
    assert [int(number) for chunk in chunks for number in chunk.row_numbers] == list(range(2, 12))
    assert chunks[1].batch.column("id").to_pylist() == ["4", "5", "6", "7"]


def test_a_stream_gives_empty_and_missing_texts_as_empty_strings(tmp_path: Path) -> None:
    assert chunks_of(write(tmp_path / "a.csv", 'text\na\n""\n " "\n'))[0].texts == ["a", "", ' " "']
    lines = '{"text": "a"}\n{"id": 1}\n{"text": null}\n'
    assert chunks_of(write(tmp_path / "a.jsonl", lines))[0].texts == ["a", "", ""]
    assert chunks_of(write(tmp_path / "a.parquet", parquet_bytes(text=["a", None])))[0].texts == ["a", ""]


def test_a_stream_stops_at_the_first_block_with_bad_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 10)
    monkeypatch.setattr(formats, "HEADER_BYTES", 20)
    stream = iter_texts(write(tmp_path / "a.csv", "text,id\n" + "a,1\n" * 50 + "b\n" + "c\n" * 50))
    texts = []
    with pytest.raises(BadRowsError, match=r"not read further.*\n  row 52: 1 field"):
        for chunk in stream:
            texts += chunk.texts
    assert 0 < len(texts) <= 50


def test_a_stream_keeps_what_it_skips(tmp_path: Path) -> None:
    stream = iter_texts(write(tmp_path / "a.csv", BAD), ReadOptions(bad_rows="skip"))
    assert [text for chunk in stream for text in chunk.texts] == ["a", " ", "d", "e\nf"]
    assert stream.skipped == 2
    assert stream.side_file is not None and stream.side_file.exists()
    assert any("2 bad rows" in note for note in stream.notes)


def test_a_stream_that_is_closed_early_gives_its_file_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nbad\n" + "a,b\n" * 10)
    stream = iter_texts(path, ReadOptions(bad_rows="skip"), batch_rows=2)
    assert next(stream).texts == ["a", "a"]
    stream.close()
    assert stream.side_file is not None and stream.side_file.exists()
    iter_texts(path).close()


# --- hostile content


hostile_text = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(',;\t|"\n\r\0 \ufeffé'), max_size=30)


@in_tmp_path
@given(
    rows=st.lists(st.tuples(hostile_text, hostile_text), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "gb18030"]),
    block=st.sampled_from([1, 3, 17, 1000]),
)
def test_any_rows_survive_a_round_trip(
    tmp_path: Path, rows: list[tuple[str, str]], delimiter: str, encoding: str, block: int
) -> None:
    path = write(tmp_path / "a.csv", as_csv(rows, delimiter), encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", block)
        patch.setattr(formats, "HEADER_BYTES", 20 + block)
        chunks = chunks_of(path, delimiter=delimiter, encoding=encoding)
    assert [text for chunk in chunks for text in chunk.texts] == [text for text, _ in rows]
    assert [label for chunk in chunks for label in chunk.batch.column(1).to_pylist()] == [label for _, label in rows]
    assert [int(number) for chunk in chunks for number in chunk.row_numbers] == list(range(2, len(rows) + 2))


@in_tmp_path
@given(
    body=st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"a", b"\xc3\xa9", b"\xe9"]), max_size=40).map(b"".join),
    block=st.sampled_from([1, 2, 5, 1000]),
)
def test_every_row_of_any_bytes_is_given_or_kept(tmp_path: Path, body: bytes, block: int) -> None:
    path = write(tmp_path / "a.csv", b"text,label\nok,x\n" + body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", block)
        patch.setattr(formats, "HEADER_BYTES", 10 + block)
        chunks = chunks_of(path, bad_rows="skip", encoding="utf-8", delimiter=",")
    given_numbers = [int(number) for chunk in chunks for number in chunk.row_numbers]
    side = tmp_path / "a.csv.bad-rows.csv"
    kept = []
    if side.exists():
        with side.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            kept = [(int(row[0]), row[2].encode(errors="surrogateescape")) for row in list(csv.reader(file))[1:]]
        side.unlink()
    numbers = sorted([*given_numbers, *(number for number, _ in kept)])
    assert numbers == sorted(set(numbers))
    assert all(record and record in body for _, record in kept)
    letters = sum(text.count("a") for chunk in chunks for text in (*chunk.texts, *chunk.batch.column(1).to_pylist()))
    assert letters + sum(record.count(b"a") for _, record in kept) == body.count(b"a")


@pytest.mark.parametrize("name", ["many.csv", "many.csv.gz", "many.jsonl", "many.parquet"])
def test_a_stream_knows_how_far_it_is(tmp_path, name):
    texts = [f"{'word ' * 20}{i}" for i in range(120_000)]
    path = tmp_path / name
    if name.endswith(".parquet"):
        pa.parquet.write_table(pa.table({"text": texts}), path)
    else:
        line = '{{"text": "{}"}}\n' if "jsonl" in name else "{}\n"
        content = "".join(line.format(text) for text in (texts if "jsonl" in name else ["text", *texts])).encode()
        path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    stream = iter_texts(path)
    assert stream.progress == 0.0
    shares = [stream.progress for _ in stream]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.3 and 0.4 < shares[len(shares) // 2] < 0.95
    assert shares[-1] == pytest.approx(1.0)


def test_doubts_are_the_notes_that_may_be_wrong(tmp_path):
    sure = tmp_path / "sure.csv"
    sure.write_text("text,label\nпосылка,a\n", encoding="utf-8")
    assert read_examples(sure).doubts == ()
    unsure = tmp_path / "unsure.csv"
    unsure.write_bytes("text,label\nгде моя посылка,доставка\nx\n".encode("cp1251"))
    examples = read_examples(unsure, ReadOptions(bad_rows="skip"))
    assert [doubt.split(" (")[0] for doubt in examples.doubts[:1]] == [f"encoding {examples.encoding}"]
    assert "1 bad row was left out" in examples.doubts[1]
    assert set(examples.doubts) <= set(examples.notes)
