from __future__ import annotations

import bz2
import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcnn.data import formats, records
from textcnn.data.readers import ReadOptions, iter_texts, read_examples
from textcnn.errors import BadRowsError, ColumnError, ConfigError, ReadError

from .reading import BAD, ROWS, as_csv, chunks_of, in_tmp_path, pairs, parquet_bytes, side_rows, write

# --- formats


JSON_LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)


FORMATS = {
    "a.csv": as_csv(ROWS).encode(),
    "a.CSV": as_csv(ROWS).encode(),
    "a.tsv": as_csv(ROWS, "\t").encode(),
    "a.txt": as_csv(ROWS, ";").encode(),
    "a.jsonl": JSON_LINES.encode(),
    "a.ndjson": JSON_LINES.encode(),
    "a.csv.gz": gzip.compress(as_csv(ROWS).encode()),
    "a.csv.bz2": bz2.compress(as_csv(ROWS).encode()),
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


# --- delimiters and quotes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected_in_the_header(tmp_path: Path, delimiter: str) -> None:
    examples = read_examples(write(tmp_path / "a.csv", as_csv(ROWS, delimiter)))
    assert pairs(examples) == ROWS
    assert examples.delimiter == delimiter


def test_delimiters_within_quoted_column_names_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"text;a;b;c",label\nx,y\n')
    assert read_examples(path, ReadOptions(text_columns=("text;a;b;c",))).delimiter == ","


def test_the_delimiter_that_is_given_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text~label\na,b;c~x\n")
    assert pairs(read_examples(path, ReadOptions(delimiter="~"))) == [("a,b;c", "x")]
    assert ReadOptions(delimiter="tab").delimiter == ReadOptions(delimiter="\\t").delimiter == "\t"


@pytest.mark.parametrize("line", ["sep=;\r\n", '"sep=;"\r\n', "SEP=;\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_line_in_which_excel_names_the_delimiter_is_no_row(tmp_path: Path, line: str, encoding: str) -> None:
    path = write(tmp_path / "d.csv", f"{line}text;label, or so\ngrün, ja;a\n;b\n", encoding)
    with pytest.raises(BadRowsError, match="row 3: the text is empty"):
        read_examples(path, ReadOptions(label_column="label, or so"))
    examples = read_examples(path, ReadOptions(label_column="label, or so", bad_rows="skip"))
    assert pairs(examples) == [("grün, ja", "a")]
    assert examples.delimiter == ";"


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
    assert examples.doubts == ("quotes are taken as plain characters, as they stand within fields",)


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
    "a": (b"text", ["cannot tell the format from no ending"]),
    "a.zip": (b"PK", ["'.zip'; unpack it and name the table in it; known are .csv"]),
    "b.xlsx": (b"PK", ["save the sheet as CSV"]),
    "a.json": (b"[]", ["call it .jsonl: jq -c"]),
    "h.csv": (bz2.compress(b"text,label\na,b\n"), ["bzip2 data", "ends in .bz2"]),
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
        ReadOptions(**options)


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
    assert stream.left_out == f"2 bad rows were left out and kept in {stream.side_file}"


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


def test_what_was_guessed_and_may_be_wrong_is_a_doubt(tmp_path: Path) -> None:
    sure = tmp_path / "sure.csv"
    sure.write_text("text,label\nпосылка,a\n", encoding="utf-8")
    assert (read_examples(sure).doubts, read_examples(sure).left_out) == ((), "")
    unsure = tmp_path / "unsure.csv"
    unsure.write_bytes("text,label\nгде моя посылка,доставка\nx\n".encode("cp1251"))
    examples = read_examples(unsure, ReadOptions(bad_rows="skip"))
    assert [doubt.split(" (")[0] for doubt in examples.doubts] == [f"encoding {examples.encoding}"]
    assert examples.left_out.startswith("1 bad row was left out and kept in ")


LISTS = [["a", " b "], [], "c|a", [1], None, ["x|y"], [["a"]], {"a": 1}, [None]]


def lists_of_labels(path: Path, labels: list[object]) -> Path:
    lines = [json.dumps({"text": f"t{row}", "labels": label}) + "\n" for row, label in enumerate(labels)]
    return write(path, "".join(lines))


def test_a_list_of_labels_is_joined_where_a_text_may_have_several(tmp_path):
    path = lists_of_labels(tmp_path / "a.jsonl", LISTS)
    examples = read_examples(path, ReadOptions(label_separator="|", bad_rows="skip"))
    assert pairs(examples) == [("t0", "a| b"), ("t1", ""), ("t2", "c|a"), ("t3", "1")]
    reasons = [reason for _, reason, _ in side_rows(examples)[1:]]
    assert reasons[0] == "the label is missing"
    assert reasons[1] == "label 'x|y' has '|' in it, which joins labels; choose one for --label-separator that none has"
    assert all("expected one or a list of them" in reason for reason in reasons[2:]) and len(reasons) == 5
    assert read_examples(path, ReadOptions(label_separator=";", bad_rows="skip")).labels[-1] == "x|y"


def test_a_list_of_labels_in_parquet_is_read_likewise(tmp_path):
    path = write(tmp_path / "a.parquet", parquet_bytes(text=["s", "t", "u"], labels=[["a", "b"], [], None]))
    examples = read_examples(path, ReadOptions(label_separator="|", bad_rows="skip"))
    assert pairs(examples) == [("s", "a|b"), ("t", "")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_list_where_one_label_is_expected_names_the_head_to_choose(tmp_path, name):
    content = {
        "a.jsonl": b'{"text": "t", "labels": ["a"]}\n',
        "a.parquet": parquet_bytes(text=["t"], labels=[["a"]]),
    }
    with pytest.raises(ColumnError, match="column 'labels' holds lists.* --label-separator .* multi_label head"):
        read_examples(write(tmp_path / name, content[name]))
