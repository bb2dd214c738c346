from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from textcnn.data import formats, records
from textcnn.data.readers import ReadOptions, read_examples
from textcnn.errors import BadRowsError, ReadError

from .reading import BAD, chunks_of, pairs, parquet_bytes, side_rows, write

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
    assert "needs quotation marks around it" in message
    assert "--bad-rows skip" in message
    assert list(tmp_path.iterdir()) == [path]


def test_bad_rows_go_unchanged_to_a_side_file(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path / "a.csv", BAD), ReadOptions(bad_rows="skip"))
    assert pairs(examples) == [("a", "x"), ("e\nf", "y")]
    assert examples.row_numbers.tolist() == [2, 8]
    assert examples.skipped == 4
    assert examples.side_file == tmp_path / "a.csv.bad-rows.csv"
    assert side_rows(examples) == [["row", "reason", "record"], *([str(n), why, row] for n, why, row in BAD_ROWS)]
    assert examples.left_out == f"4 bad rows were left out and kept in {examples.side_file}"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "a.csv.bad-rows.csv"]


def test_at_most_twenty_bad_rows_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    with pytest.raises(BadRowsError) as error:
        read_examples(write(tmp_path / "a.csv", "text,label\n" + "a\n" * 1000))
    assert (error.value.total, len(error.value.shown)) == (1000, 20)
    assert "... and 980 more" in str(error.value)
    assert "quotation marks" not in str(error.value)


def test_quotes_behind_backslashes_are_told_from_missing_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\n"he said \\"no, never\\", twice",x\n')
    with pytest.raises(BadRowsError) as error:
        read_examples(path)
    (command,) = [line for line in str(error.value).splitlines() if "sed 's" in line]
    assert command.endswith(f"""CSV files double them: sed 's/\\\\"/""/g' {path} > FILE.csv""")
    fixed = write(tmp_path / "b.csv", re.sub(r"\\\"", '""', path.read_text()))  # as sed does
    assert pairs(read_examples(fixed)) == [('he said "no, never", twice', "x")]


def test_rows_of_empty_cells_as_spreadsheets_write_them_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text;label;note\na;x;\n;;\nb;y;1\n;;\n"";" ";""\n')
    examples = read_examples(path)
    assert (pairs(examples), examples.row_numbers.tolist(), examples.skipped) == ([("a", "x"), ("b", "y")], [2, 4], 0)
    with pytest.raises(BadRowsError, match="row 3: the text is empty"):  # something is there
        read_examples(write(tmp_path / "b.csv", "text;label;note\na;x;\n;;1\n"))
    with pytest.raises(ReadError, match="has column names but no rows"):
        read_examples(write(tmp_path / "c.csv", "text;label;note\n;;\n"), ReadOptions(bad_rows="skip"))
    assert [chunk.texts for chunk in chunks_of(path)] == [["a", "", "b", "", ""]]  # each row gets its answer


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


def test_where_a_text_may_have_several_labels_an_empty_one_is_none_and_null_is_missing(tmp_path: Path) -> None:
    options = ReadOptions(bad_rows="skip", label_separator="|")
    table = read_examples(write(tmp_path / "a.csv", 'text,label\na,x\nb,\nc,""\nd,  \n ,x\n'), options)
    assert pairs(table) == [("a", "x"), ("b", ""), ("c", ""), ("d", "")]
    assert [reason for _, reason, _ in side_rows(table)[1:]] == ["the text is empty"]
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": ""}\n{"text": "b", "label": null}\n{"text": "c"}\n')
    lines = read_examples(path, options)
    assert pairs(lines) == [("a", "")]
    assert [reason for _, reason, _ in side_rows(lines)[1:]] == ["the label is missing"] * 2
    cells = read_examples(write(tmp_path / "a.parquet", parquet_bytes(text=["a", "b"], label=["", None])), options)
    assert pairs(cells) == [("a", "")]


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
