from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from textcnn import TextClassifier

from ...conftest import tiny_corpus, write_csv
from ...patience import PATIENCE, until
from .conftest import Run

TEXTS = ["where is my parcel", 'i was charged twice,\n"twice"', "zyzzyva", "экран не работает"]


@pytest.fixture
def expected(model_folder: Path) -> list[dict[str, Any]]:
    """What Python says of TEXTS."""
    predictions = TextClassifier.load(model_folder).classify(TEXTS)
    return [
        {"text": text, "label": prediction.label, "probability": pytest.approx(prediction.probability, abs=1e-6)}
        for text, prediction in zip(TEXTS, predictions, strict=True)
    ]


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            return [{**row, "probability": float(row["probability"])} for row in csv.DictReader(file)]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, texts: list[str]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.table({"text": texts}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    else:
        write_csv(path, texts, ["unused"] * len(texts), names=("text", "note"))
    return path


def test_texts_from_the_command_line(run: Run, model_folder: Path, expected: list[Any]) -> None:
    ran = run("predict", model_folder, *TEXTS)
    assert (ran.code, ran.err) == (0, "")
    assert [json.loads(line) for line in ran.out.splitlines()] == expected


def test_a_text_that_is_the_name_of_a_file_is_told_to_be_taken_for_a_text(
    run: Run, model_folder: Path, here: Path
) -> None:
    Path("my mails.csv").write_text("text\na\n")
    ran = run("predict", model_folder, "my mails.csv", "\udcff", str(here), "where is it?")
    assert [json.loads(line)["text"] for line in ran.out.splitlines()][::3] == ["my mails.csv", "where is it?"]
    assert ran.err == (
        "my mails.csv is taken for a text, though a file has that name; for what stands in it: --input 'my mails.csv'\n"
    )


def test_probabilities_that_are_no_numbers_are_told_with_their_text(
    mistake: Any, run: Run, model_folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = TextClassifier.predict_proba

    def wrong(model: TextClassifier, texts: Any) -> Any:
        found = usual(model, texts)
        found[[text.startswith("huge") for text in texts], 1] = float("nan")
        return found

    monkeypatch.setattr(TextClassifier, "predict_proba", wrong)
    said = mistake("predict", model_folder, "a parcel", "huge " * 30)
    assert said.startswith("textcnn: the model's probabilities of 'huge huge") and "...' are no numbers" in said
    assert run("predict", model_folder, "a parcel").code == 0


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv", "out.parquet", "OUT.NDJSON"])
@pytest.mark.parametrize("source", ["in.csv", "in.jsonl", "in.parquet"])
def test_tables_of_every_kind_in_and_out(
    run: Run, model_folder: Path, expected: list[Any], tmp_path: Path, source: str, output: str
) -> None:
    path = write(tmp_path / source, TEXTS)
    ran = run("predict", model_folder, "--input", path, "--output", tmp_path / output)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"{path}: text from 'text'")
    assert rows_of(tmp_path / output) == expected
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([source, output]), "something was left behind"


@pytest.mark.parametrize("dash", [[], ["--input", "-"]])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_of_standard_input(run: Run, model_folder: Path, dash: list[str], mark: str) -> None:
    lines = ["where is my parcel", "", "мышь\u2028одна строка"]
    ran = run("predict", model_folder, *dash, stdin=(mark + "\r\n".join(lines)).encode())
    assert ran.code == 0
    assert [json.loads(line)["text"] for line in ran.out.removesuffix("\n").split("\n")] == lines


@pytest.mark.parametrize(
    ("line", "told"),
    [("text,label", True), ('"id";"Text"', True), ("text", False), ("Review, please: my text", False), ("a,b", False)],
)
def test_a_table_on_standard_input_is_told_to_be_taken_for_lines(
    run: Run, model_folder: Path, line: str, told: bool
) -> None:
    ran = run("predict", model_folder, stdin=f"{line}\nhello\n".encode())
    assert ran.out.count("\n") == 2
    assert ("looks like the header of a table" in ran.err) is told


def test_standard_input_in_another_encoding(run: Run, model_folder: Path) -> None:
    ran = run("predict", model_folder, "--encoding", "cp1251", stdin="где посылка\n".encode("cp1251"))
    assert json.loads(ran.out)["text"] == "где посылка"


def test_bytes_of_another_encoding_end_the_run_behind_the_lines_before_them(run: Run, model_folder: Path) -> None:
    ran = run("predict", model_folder, stdin=b"one\n" * 5000 + b"caf\xe9\n")
    assert ran.code == 2
    assert "standard input: byte 0xe9 after line " in ran.err and "name the encoding with --encoding" in ran.err
    assert ran.out.count("\n") >= 4096


def test_lines_of_a_text_file_are_texts(run: Run, model_folder: Path, here: Path) -> None:
    Path("mails.txt").write_text("hello\nrefund\nbye\n")
    ran = run("predict", model_folder, "--input", "mails.txt")
    assert [json.loads(line)["text"] for line in ran.out.splitlines()] == ["hello", "refund", "bye"]


def test_columns_of_the_input_can_be_kept(run: Run, model_folder: Path, here: Path) -> None:
    Path("in.csv").write_text("id,text\n7,where is my parcel\n9,\n")
    command = ["predict", model_folder, "--input", "in.csv", "--keep", "id"]
    rows = [json.loads(line) for line in run(*command).out.splitlines()]
    assert [row["id"] for row in rows] == ["7", "9"]
    ran = run(*command, "--output", "out.csv")
    assert (ran.code, ran.err.splitlines()) == (0, ["in.csv: text from 'text', utf-8", "wrote out.csv: 2 rows"])
    assert [row["id"] for row in csv.DictReader(io.StringIO(Path("out.csv").read_text()))] == ["7", "9"]
    other_case = ["predict", model_folder, "--input", "in.csv", "--keep", "ID"]
    assert [json.loads(line)["ID"] for line in run(*other_case).out.splitlines()] == ["7", "9"]
    assert "the output has a column of that name" in run(*command, "--keep", "label").err
    assert "there is no column 'ids'; did you mean 'id'?" in run(*command, "--keep", "ids").err


@pytest.mark.parametrize(
    ("encoding", "delimiter", "start"),
    [
        ("cp1252", ";", '\ufeff"text";"label"'),
        ("utf-8-sig", ",", '\ufeff"text","label"'),
        ("utf-16", "\t", '\ufeff"text","label"'),
        ("utf-8", "\t", '"text","label"'),
        ("utf-8", ";", '"text";"label"'),
    ],
)
def test_answers_open_in_the_program_that_wrote_the_texts(
    run: Run, model_folder: Path, here: Path, encoding: str, delimiter: str, start: str
) -> None:
    Path("in.csv").write_bytes(f'id{delimiter}text\r\nü1{delimiter}"wo ist; das Päckchen"\r\n'.encode(encoding))
    assert run("predict", model_folder, "--input", "in.csv", "--keep", "id", "--output", "out.csv").code == 0
    written = Path("out.csv").read_text("utf-8")
    assert written.startswith(start)
    assert "wo ist; das Päckchen" in written and '"ü1"' in written
    assert run("predict", model_folder, "--input", "out.csv").out.count("\n") == 1, "and is read again"


def test_a_column_to_keep_that_is_there_twice_is_asked_about(run: Run, model_folder: Path, here: Path) -> None:
    Path("in.csv").write_text("note,text,note\n1,where is my parcel,2\n")
    ran = run("predict", model_folder, "--input", "in.csv", "--keep", "note")
    assert (ran.code, ran.err) == (2, "textcnn: in.csv: there are several columns 'note'; rename all but one\n")


def test_a_column_to_keep_may_be_missing_from_json_lines(run: Run, model_folder: Path, here: Path) -> None:
    lines = [{"text": "my parcel", "id": 7}, *[{"text": "my parcel " * 400}] * 400]  # of several blocks
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [
        json.loads(line)
        for line in run("predict", model_folder, "--input", "in.jsonl", "--keep", "id").out.splitlines()
    ]
    assert [row["id"] for row in rows] == ["7", *[None] * 400]


def test_the_columns_of_training_are_those_that_are_read(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus()
    rows = [
        {"text": "noise", "a": text[:9], "b": text[9:], "kind": label}
        for text, label in zip(texts, labels, strict=True)
    ]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = ["--text-column", "a", "--text-column", "b", "--label-column", "kind"]
    tiny = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.max_epochs=1"]
    assert run("train", "train.jsonl", *columns, *tiny, "--output", "models/m/1").code == 0
    asked = run("predict", "models/m/1", "--input", "train.jsonl")
    assert "text from 'a' and 'b'" in asked.err
    assert json.loads(asked.out.splitlines()[0])["text"] == f"{texts[0][:9]} {texts[0][9:]}"
    assert "text from 'a' and 'b', label from 'kind'" in run("evaluate", "models/m/1", "train.jsonl").err
    Path("other.csv").write_text("text,label\nx,y\n")
    for command in ("predict", "evaluate"):
        arguments = ["--input", "other.csv"] if command == "predict" else ["other.csv"]
        said = run(command, "models/m/1", *arguments)
        assert said.code == 2
        assert "The model was trained on 'a' and 'b'" in said.err
        assert "--text-column" in said.err


def test_a_pipe_is_written_to_and_a_link_stays_a_link(run: Run, model_folder: Path, here: Path) -> None:
    os.mkfifo("pipe.jsonl")
    reader = subprocess.Popen(["cat", "pipe.jsonl"], stdout=subprocess.PIPE, text=True)
    assert run("predict", model_folder, "parcel", "--output", "pipe.jsonl").code == 0
    assert json.loads(reader.communicate(timeout=PATIENCE)[0])["text"] == "parcel"
    Path("link.jsonl").symlink_to("real.jsonl")
    assert run("predict", model_folder, "parcel", "--output", "link.jsonl").code == 0
    assert Path("link.jsonl").is_symlink() and json.loads(Path("real.jsonl").read_text())["text"] == "parcel"


def test_no_lines_give_no_answers(run: Run, model_folder: Path) -> None:
    ran = run("predict", model_folder)
    assert (ran.code, ran.out) == (0, "")


def test_bytes_that_are_no_characters_come_out_as_a_question_mark(run: Run, model_folder: Path) -> None:
    ran = run("predict", model_folder, os.fsdecode(b"parcel \xff"))
    assert json.loads(ran.out)["text"] == "parcel ?"


def test_more_labels_on_request(run: Run, model_folder: Path, tmp_path: Path) -> None:
    (row,) = map(json.loads, run("predict", model_folder, "parcel", "--top-k", "3").out.splitlines())
    assert len(row["top"]) == 3
    assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}
    run("predict", model_folder, "parcel", "--top-k", "2", "--output", tmp_path / "out.csv")
    (row,) = rows_of(tmp_path / "out.csv")
    assert len(json.loads(row["top"])) == 2


def test_csv_to_standard_output(run: Run, model_folder: Path, expected: list[Any]) -> None:
    ran = run("predict", model_folder, *TEXTS, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out, newline="")))
    assert [row["label"] for row in rows] == [row["label"] for row in expected]
    assert [row["text"] for row in rows] == TEXTS


def test_the_format_may_be_named_where_the_ending_does_not_say(run: Run, model_folder: Path, tmp_path: Path) -> None:
    assert run("predict", model_folder, "parcel", "--format", "parquet", "--output", tmp_path / "out.bin").code == 0
    assert parquet.read_table(tmp_path / "out.bin").num_rows == 1


def test_a_hundred_thousand_lines_stream_through(run: Run, model_folder: Path, tmp_path: Path) -> None:
    texts, _ = tiny_corpus()
    with gzip.open(tmp_path / "many.csv.gz", "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([f"{texts[i % 90]} {i}"] for i in range(100_000))])
    ran = run("predict", model_folder, "--input", tmp_path / "many.csv.gz", "--output", tmp_path / "out.parquet")
    assert ran.code == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 100_000
    assert table["text"][99_999].as_py().endswith(" 99999")
    few = TextClassifier.load(model_folder).predict([f"{texts[i % 90]} {i}" for i in range(90)])
    assert table["label"][:90].to_pylist() == few


def test_rows_that_cannot_be_used_are_set_aside_on_request(run: Run, model_folder: Path, here: Path) -> None:
    Path("in.csv").write_text("text,x\na,1\nb\nc,3\n")
    ran = run("predict", model_folder, "--input", "in.csv", "--output", "out.csv", "--bad-rows", "skip")
    assert ran.code == 0
    assert ran.err.endswith("1 bad row was left out and kept in in.csv.bad-rows.csv\nwrote out.csv: 2 rows\n")
    assert [row["text"] for row in rows_of(Path("out.csv"))] == ["a", "c"]


def test_rows_done_before_a_failure_stay_in_a_partial_file(mistake: Any, model_folder: Path, here: Path) -> None:
    # two blocks of the reader: the first is done when the second is found broken
    long = "parcel " * 150_000
    Path("in.csv").write_text("text,x\n" + f"{long},1\n" * 9 + "broken\n")
    said = mistake("predict", model_folder, "--input", "in.csv", "--output", "out.csv")
    assert "row 11: 1 field where the header has 2" in said
    assert "rows are done and stay in out.csv.partial" in said
    assert not Path("out.csv").exists()
    done = int(said.split("the first ")[1].split(" rows")[0].replace(",", ""))
    assert Path("out.csv.partial").read_text().count(",") == 2 + 2 * done > 2


def test_a_failure_before_the_first_row_leaves_nothing(mistake: Any, model_folder: Path, here: Path) -> None:
    Path("in.csv").write_text("text,x\nbroken\n")
    Path("out.csv").write_text("the last result")
    mistake("predict", model_folder, "--input", "in.csv", "--output", "out.csv", "--overwrite")
    assert Path("out.csv").read_text() == "the last result"
    assert not list(Path().glob("out.csv.*"))


def test_two_that_write_one_file_do_not_mix_their_rows(run: Run, model_folder: Path, here: Path) -> None:
    """The second begins when the first has answered its first rows and waits for more."""
    first = subprocess.Popen(
        [sys.executable, "-m", "textcnn.cli.main", "predict", model_folder, "--output", "out.jsonl"],
        stdin=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert first.stdin is not None
    until(lambda: first.poll() is not None or list(Path().glob("out.jsonl.*partial")), "the file that is begun")
    assert run("predict", model_folder, "second", "--output", "out.jsonl").code == 0
    assert [row["text"] for row in rows_of(Path("out.jsonl"))] == ["second"]
    first.communicate("first\n" * 3, timeout=PATIENCE)
    assert first.returncode == 0
    assert [row["text"] for row in rows_of(Path("out.jsonl"))] == ["first"] * 3
    assert not list(Path().glob("out.jsonl.*"))


def test_a_file_is_replaced_on_request(run: Run, model_folder: Path, here: Path) -> None:
    assert run("predict", model_folder, "parcel", "--output", "test.csv", "--overwrite").code == 0
    assert [row["text"] for row in rows_of(Path("test.csv"))] == ["parcel"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_fits_on_the_disk_only_in_part_is_told(model_folder: Path, here: Path, unbuffered: str) -> None:
    command = f"ulimit -f 4; exec '{sys.executable}' -m textcnn.cli.main predict '{model_folder}' > out.jsonl"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        input="where is my parcel\n" * 500, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "textcnn: cannot write the output: File too large\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(mistake: Any, model_folder: Path, here: Path) -> None:
    Path("out.jsonl").symlink_to("/dev/full")
    said = mistake("predict", model_folder, "parcel", "--output", "out.jsonl", "--overwrite")
    assert "cannot write out.jsonl: No space left on device" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "none.csv"], "none.csv: there is no such file"),
        (["--input", "."], ". is a folder"),
        (["--input", "train.csv", "--text-column", "txt"], "there is no column 'txt'; did you mean 'text'?"),
        (["--input", "train.csv", "a text"], "give texts or --input, not both"),
        (["a", "--top-k", "4"], "--top-k is 4, but the model has 3 labels"),
        (["a", "--top-k", "0"], "--top-k"),
        (["a", "--output", "out.xlsx"], "cannot tell the format from 'out.xlsx'"),
        (["a", "--output", "out"], "cannot tell the format from 'out'"),
        (["a", "--output", "."], "cannot tell the format"),
        (["a", "--output", "folder.csv"], "is a folder; give the path of a file"),
        (["a", "--output", "none/out.csv"], "cannot write none/out.csv: there is no folder none"),
        (["--input", "train.csv", "--output", "./train.csv"], "train.csv is read, so it is not written"),
        (["--input", "train.csv", "--output", "./train.csv", "--overwrite"], "train.csv is read, so it is not written"),
        (["a", "--output", "test.csv"], "test.csv exists already; name another file, or pass --overwrite"),
        (["a", "--format", "parquet"], "parquet cannot be written to standard output"),
        (["--text-column", "text"], "--text-column is about a table; give one with --input FILE"),
        (["--encoding", "utf9"], "'utf9' is no text encoding"),
        (["a", "--device", "gpu"], "'gpu' is no device"),
    ],
)
def test_a_mistake_is_told(mistake: Any, here: Path, model_folder: Path, arguments: list[str], message: str) -> None:
    Path("folder.csv").mkdir()
    before = sorted(Path().iterdir())
    assert message in mistake("predict", model_folder, *arguments)
    assert sorted(Path().iterdir()) == before, "something was left behind"


def test_a_damaged_model_is_told_with_its_file(mistake: Any, model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny" / "1"
    shutil.copytree(model_folder, copy)
    (copy / "labels.json").unlink()
    assert "labels.json is missing; the model is incomplete" in mistake("predict", tmp_path / "tiny", "parcel")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_reader_that_goes_away_is_no_error(model_folder: Path, kind: str) -> None:
    command = (
        f"yes 'where is my parcel' | '{sys.executable}' -m textcnn.cli.main predict '{model_folder}' --format {kind}"
    )
    done = subprocess.run(
        ["bash", "-c", f"({command}; echo code $? >&2) | head -n 2"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "code 0\n"


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_label_sets_familiarity_and_abstaining_are_columns_when_asked_for(
    run: Run, here: Path, model_folder: Path, name: str
) -> None:
    asked = ["--abstain-below", "0.5", "--label-sets", "0.9", "--familiarity"]
    assert run("predict", model_folder, "--input", "test.csv", "--output", name, *asked).code == 0
    rows = rows_of(Path(name))
    model = TextClassifier.load(model_folder)
    texts = [row["text"] for row in rows]
    held = [row["label_set"] if isinstance(row["label_set"], list) else json.loads(row["label_set"]) for row in rows]
    assert [set(labels) for labels in held] == [set(labels) for labels in model.label_sets(texts, coverage=0.9)]
    shares = [float(row["familiarity"]) for row in rows]
    assert shares == pytest.approx(model.familiarity(texts).tolist(), abs=1e-5)
    assert {str(row["abstained"]).lower() for row in rows} <= {"true", "false"}


def test_a_coverage_between_percents_is_told_before_any_row(mistake: Any, here: Path, model_folder: Path) -> None:
    assert "expected a whole percent" in mistake("predict", model_folder, "parcel", "--label-sets", "0.905")


def test_the_texts_that_the_model_is_least_sure_of_come_first_and_once(
    run: Run, here: Path, model_folder: Path
) -> None:
    texts, labels = tiny_corpus(60, seed=4)
    write_csv(Path("new.csv"), [*texts, " ", *texts[:9], "a horse"], [*labels, "x", *labels[:9], "the id"])
    answers = [json.loads(line) for line in run("predict", model_folder, "--input", "new.csv").out.splitlines()]
    asked = ["predict", model_folder, "--input", "new.csv", "--least-sure", 7, "--keep", "label-"]
    Path("new.csv").write_text(Path("new.csv").read_text().replace("text,label", "text,label-", 1))
    found = [json.loads(line) for line in run(*asked, "--label-sets", 0.9).out.splitlines()]
    probable = sorted({answer["text"]: answer["probability"] for answer in answers if answer["text"].strip()}.values())
    assert [row["probability"] for row in found] == probable[:7]
    assert len({row["text"] for row in found}) == 7
    assert all(list(row) == ["text", "label", "probability", "label_set", "label-"] for row in found)
    assert next(row["label-"] for row in found if row["text"] == "a horse") == "the id"
    assert run("predict", model_folder, "--least-sure", 2, stdin=b"\n \n").out == ""
