from __future__ import annotations

import json
from pathlib import Path

import pytest

from textcnn.data.columns import choose_columns
from textcnn.data.readers import ReadOptions, read_examples
from textcnn.errors import ColumnError

from .reading import chunks_of, pairs, parquet_bytes, write


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
        (",tweet_text,airline_sentiment", ("tweet_text",), "airline_sentiment"),
        ("Unnamed: 0,Review Text,Rating", ("Review Text",), "Rating"),
        ("reviewText,overall,starRating", ("reviewText",), "starRating"),
        ("v1,phrase,,", ("phrase",), "v1"),
    ],
)
def test_columns_are_guessed_from_the_header(tmp_path: Path, header: str, text: tuple[str], label: str) -> None:
    rows = "\n".join(",".join([*f"{'ab'[i % 2]}{'cdefgh'[i]}ij"][: header.count(",") + 1]) for i in range(6))
    examples = read_examples(write(tmp_path / "a.csv", f"{header}\n{rows}\n"))
    assert (examples.text_columns, examples.label_column) == (text, label)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_two_columns_with_names_of_another_language_are_told_apart_by_their_rows(
    tmp_path: Path, name: str, swapped: bool
) -> None:
    rows = [(f"Das Paket Nummer {i} kam zu spät", ["Lob", "Tadel"][i % 2]) for i in range(6)]
    records = [{"Kommentar": text, "Kategorie": label} for text, label in rows]
    order = ["Kategorie", "Kommentar"] if swapped else ["Kommentar", "Kategorie"]
    lines = [json.dumps({key: record[key] for key in order}) for record in records]
    if name == "a.csv":
        lines = [",".join(order), *(",".join(record[key] for key in order) for record in records)]
    examples = read_examples(write(tmp_path / name, "\n".join(lines) + "\n"))
    assert pairs(examples) == rows
    assert (examples.text_columns, examples.label_column) == (("Kommentar",), "Kategorie")


SENTENCES = ["kam spät", "gut", "nie wieder", "zu teuer", "prima", "was soll das", "passt", "leider kaputt"]
TWO_COLUMNS = {
    "texts as short as their labels": (SENTENCES, ["lieferung", "rechnung"] * 4),
    "numbers as labels": (SENTENCES, list("12312312")),
    "some texts twice": ([*SENTENCES[:6], "gut", "prima"], list("ABABABAB")),
    "titles without spaces": ([f"2024年财经新闻{i}" for i in range(8)], ["财经", "体育"] * 4),
    "rows sorted by label": (SENTENCES, ["lieferung"] * 8),
    "long texts that repeat": (["das habe ich so nie bestellt", "wo bleibt es denn nur"] * 4, list("ABABABAC")),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("case", TWO_COLUMNS)
def test_of_two_columns_the_one_whose_values_repeat_has_the_labels(tmp_path: Path, case: str, swapped: bool) -> None:
    rows = list(zip(*TWO_COLUMNS[case], strict=True))
    lines = [f"{label};{text}" if swapped else f"{text};{label}" for text, label in rows]
    header = "Art;Meldung" if swapped else "Meldung;Art"
    assert pairs(read_examples(write(tmp_path / "a.csv", "\n".join([header, *lines]) + "\n"))) == rows


@pytest.mark.parametrize(
    "rows",
    [
        ["a long text here,1", "another long text,2", "a third long text,3"],  # no label twice: an id, perhaps
        ["brief,right", "brief,wrong", "small,right", "small,wrong"],  # both repeat
        ["brief,right", "small,wrong", "tiny,right"],  # hardly any repetition
        [f"A-{1000 + i},{'xy'[i % 2]}" for i in range(8)],  # codes
        [f"{1000 + i},{'ab cd'[i % 2 :]}" for i in range(8)],  # numbers
        [f"2024-05-0{i},{'xy'[i % 2]}" for i in range(8)],  # days
        [f"ada{i}@example.org,{'xy'[i % 2]}" for i in range(8)],  # addresses
        [],
    ],
)
def test_two_columns_that_cannot_be_told_apart_are_asked_about(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(ColumnError, match="which column holds the text; the columns are 'a', 'b'"):
        read_examples(write(tmp_path / "a.csv", "\n".join(["a,b", *rows]) + "\n"))


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
    assert (examples.text_columns, examples.label_column) == (("summary",), "Mood")


COLUMN_FAULTS = {
    "fastText": (
        "__label__x hi, you\n__label__y a\n",
        {},
        ["fastText's format", r"sed -E 's/^__label__([^ ]+) /\1\t/'"],
    ),
    "no text though a name is like one": (
        "alcohol content,b,c\n1.5,x,1\n2,y,2\n",
        {},
        ["which column holds the text", "'alcohol content', 'b', 'c'"],
    ),
    "two texts by name": ("a_text,b_text,label\nx,y,z\n", {}, ["which column holds the text", "--text-column"]),
    "a title above the names": ("Export\n\ntext,label\na,b\n", {}, ["this one column", "--delimiter", "above them"]),
    "a column for each label": (
        "text,rude,way off\na,1,0\nb,0,0\nc,1,1\nd,0,1\n",
        {},
        ["values repeat in 'rude' (2), 'way off' (2)", "--task-column rude --task-column 'way off'"],
    ),
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


def test_columns_that_cannot_be_told_by_name_are_suggested_by_their_content() -> None:
    names = ("Nr", "Kanal", "Nachricht", "Leer", "Art")
    rows = [(f"T-{i}", ("Web", "Mail")[i % 2], f"mein Paket {i} ist nicht da", "", "abc"[i % 3]) for i in range(20)]
    with pytest.raises(ColumnError, match="Name it with --text-column; the longest texts are in 'Nachricht'$"):
        choose_columns(Path("d.csv"), names, first_rows=lambda: rows)
    with pytest.raises(ColumnError, match=r"with --label-column; values repeat in 'Kanal' \(2\), 'Art' \(3\)$"):
        choose_columns(Path("d.csv"), names, text_columns=["Nachricht"], first_rows=lambda: rows)
    with pytest.raises(ColumnError, match="Name it with --text-column$"):
        choose_columns(Path("d.csv"), names, first_rows=lambda: [("1", "2", "3", "", "4")] * 9)
    with pytest.raises(ColumnError, match="Name it with --label-column$"):
        choose_columns(Path("d.csv"), names, text_columns=["Nachricht"], first_rows=lambda: rows[:1])
