from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ...conftest import tiny_corpus, write_csv
from .conftest import Run


@pytest.fixture
def messy(here: Path) -> Path:
    """messy.csv: an empty text, a repetition, a label spelled twice, and a column of its own."""
    texts, labels = tiny_corpus(60)
    rows = [*zip(texts, labels, strict=True), ("", "repair"), (texts[0].upper(), labels[0]), ("it hums", "Repair ")]
    with open(here / "messy.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "text", "label"), *((i, *row) for i, row in enumerate(rows))])
    return here / "messy.csv"


def test_findings_are_listed_with_their_rows(run: Run, messy: Path) -> None:
    ran = run("check", "messy.csv")
    assert ran.code == 1, "a problem was found"
    lines = ran.out.splitlines()
    assert lines[0] == "messy.csv: 62 usable rows, 4 labels"
    assert lines[1].startswith("PROBLEM  1 row cannot be used: the text is empty (1); --fix")
    assert "         rows 62" in lines
    assert any("'Repair' (1 row) for 'repair'" in line for line in lines)


def test_which_columns_were_read_is_told(run: Run, messy: Path) -> None:
    told = run("check", "messy.csv").err
    assert "messy.csv: 62 rows; text from 'text', label from 'label'" in told
    assert "not used: 'id'" in told


def test_json_has_every_row(run: Run, messy: Path) -> None:
    found = {f["kind"]: f for f in json.loads(run("check", "messy.csv", "--json").out)["findings"]}
    assert found["duplicates"]["rows"] == [63]
    assert found["label_spellings"]["figures"] == {"variants": {"Repair": "repair"}}


def test_suspects_come_as_a_table(run: Run, messy: Path) -> None:
    ran = run("check", "messy.csv", "--suspects", "suspects.csv", "--test", "test.csv")
    assert "suspect rows in suspects.csv" in ran.err
    with open("suspects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    spelled = next(row for row in rows if row["problem"] == "label_spellings")
    assert (spelled["row"], spelled["label"], spelled["suggestion"], spelled["text"]) == (
        "64",
        "Repair",
        "repair",
        "it hums",
    )


@pytest.mark.parametrize(
    ("encoding", "start"), [("cp1252", b"\xef\xbb\xbf"), ("utf-8-sig", b"\xef\xbb\xbf"), ("utf-8", b"")]
)
def test_what_is_made_of_a_file_opens_in_the_program_that_wrote_that(
    run: Run, here: Path, encoding: str, start: bytes
) -> None:
    texts = [f"Päckchen {i}; größer als {word}" for i, word in enumerate(["Öl", "Käse", "Brötchen", "Tür"] * 3)]
    lines = ["text;label;Preis", *(f'"{text}";{"ab"[i % 2]};1,5' for i, text in enumerate([*texts, texts[0]]))]
    Path("mails.csv").write_bytes("\r\n".join(lines).encode(encoding))
    assert run("check", "mails.csv", "--fix", "--suspects", "suspects.csv").code == 0
    clean, suspects = Path("mails.clean.csv").read_bytes(), Path("suspects.csv").read_bytes()
    assert clean.startswith(start + b'"text";"label";"Preis"\n')
    assert suspects.startswith(start + b"file;row;problem;")
    assert clean.removeprefix(start).decode().splitlines()[1] == '"Päckchen 0; größer als Öl";"a";"1,5"'
    assert run("check", "mails.clean.csv").out.startswith("mails.clean.csv: 12 usable rows, 2 labels")


def test_a_cleaned_copy_stands_beside_the_original(run: Run, messy: Path) -> None:
    before = messy.read_bytes()
    ran = run("check", "messy.csv", "--fix")
    assert "61 rows: 1 repeated and 1 unusable rows left out, 1 labels respelled" in ran.err
    assert messy.read_bytes() == before
    with open("messy.clean.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1] == {"id": "62", "text": "it hums", "label": "repair"}
    assert (
        "messy.clean.csv exists already; name another file, or pass --overwrite"
        in run("check", "messy.csv", "--fix").err
    )
    assert "wrote messy.clean.csv" in run("check", "messy.csv", "--fix", "--overwrite").err
    assert "is read, so it is not written" in run("check", "messy.clean.csv", "--fix", "--overwrite").err
    again = run("check", "messy.clean.csv")
    assert again.code == 0
    assert "PROBLEM" not in again.out
    assert "no problem found" in again.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "there is no such file"),
        (["messy.csv", "--bad-rows", "skip"], "--bad-rows is for training"),
        (["messy.csv", "--suspects", "train.csv"], "train.csv exists already"),
        (["messy.csv", "--label-column", "lable"], "did you mean 'label'?"),
        (["messy.csv", "--suspects", "no/such/folder.csv"], "cannot write no/such/folder.csv"),
    ],
)
def test_a_mistake_is_told(run: Run, messy: Path, arguments: list[str], message: str) -> None:
    ran = run("check", *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_several_labels_of_a_text_are_respelled_one_by_one(run: Run, here: Path) -> None:
    rows = [("so so", "joy|anger")] * 2 + [(f"text {i}", "joy" if i % 2 else "anger") for i in range(20)]
    with open("many.csv", "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows, ("oh", "Joy|anger|joy")])
    ran = run("check", "many.csv", "--label-separator", "|", "--fix")
    assert "22 rows: 1 repeated and 0 unusable rows left out, 1 labels respelled" in ran.err
    assert Path("many.clean.csv").read_text().splitlines()[-1] == '"oh","joy|anger"'


def test_what_is_there_is_never_written_over(run: Run, messy: Path) -> None:
    write_csv(messy.with_name("messy.clean.csv"), ["mine"], ["a"])
    assert run("check", "messy.csv", "--fix").code == 2
    assert "mine" in messy.with_name("messy.clean.csv").read_text()


def test_leaks_are_told(run: Run, here: Path) -> None:
    found: dict[str, Any] = {
        f["kind"]: f for f in json.loads(run("check", "train.csv", "--test", "train.csv", "--json").out)["findings"]
    }
    assert found["leaks_into_test"]["figures"]["word_for_word"] == 90


def test_suspects_and_the_cleaned_copy_need_two_files(mistake: Any, here: Path) -> None:
    assert "is where --fix writes" in mistake("check", "train.csv", "--fix", "--suspects", "./train.clean.csv")
    assert not Path("train.clean.csv").exists()


def test_a_cleaned_copy_repeats_nothing_that_only_differed_in_the_spelling_of_its_label(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus(60)
    write_csv(Path("d.csv"), [*texts, texts[0]], [*labels, labels[0].upper()])
    ran = run("check", "d.csv", "--fix")
    assert "wrote d.clean.csv with 60 rows: 1 repeated and 0 unusable rows left out, 1 label" in ran.err
    assert "different labels" not in ran.out
    assert "repeats" not in run("check", "d.clean.csv").out


def test_rows_of_the_data_that_cannot_be_used_are_counted_beside_those_of_the_test(run: Run, messy: Path) -> None:
    write_csv(Path("t.csv"), ["", "", *tiny_corpus(30)[0]], ["repair", "repair", *tiny_corpus(30)[1]])
    ran = run("check", "messy.csv", "--test", "t.csv", "--fix")
    assert "1 repeated and 1 unusable rows left out" in ran.err
