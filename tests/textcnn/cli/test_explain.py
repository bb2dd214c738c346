from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier

from ...conftest import write_csv
from .conftest import Run

ROOT = Path(__file__).resolve().parents[3]
TEXT = "hello, where is my parcel since monday zyzzyva"


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_what_is_not_a_terminal_gets_json_lines(run: Run, model_folder: Path) -> None:
    ran = run("explain", model_folder, TEXT, "")
    model = TextClassifier.load(model_folder)
    assert (ran.code, ran.err) == (0, "")
    expected = [
        {"text": text, **explanation.to_dict()}
        for text, explanation in zip([TEXT, ""], model.explain([TEXT, ""]), strict=True)
    ]
    assert rows(ran.out) == json.loads(json.dumps(expected))
    (short,) = rows(run("explain", model_folder, TEXT, "--top-n", 1).out)
    assert short["ngrams"] == json.loads(json.dumps(expected[0]["ngrams"][:1]))


def test_the_case_of_the_page_is_what_the_shipped_model_says(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = Path("docs/EXPLAIN.md").read_text(encoding="utf-8")
    command, shown = page.split("## One case\n\n```\n")[1].split("\n```\n\n```text\n", maxsplit=1)
    ran = run(*shlex.split(command)[1:], "--no-json")
    assert ran.out.rstrip("\n") == shown.split("\n```")[0]


def test_for_people_the_numbers_stand_below_each_other_and_add_up(run: Run, model_folder: Path) -> None:
    ran = run("explain", model_folder, "--no-json", "--top-n", 2, TEXT)
    text, label, *lines = ran.out.rstrip("\n").splitlines()
    (explanation,) = TextClassifier.load(model_folder).explain([TEXT], top_n=2)
    assert text == TEXT
    assert label.split() == [explanation.label, f"{explanation.probability:.1%}"]
    *added, score = (float(line.split()[0]) for line in lines)
    assert sum(added) == pytest.approx(score, abs=0.03)
    assert [line.split(maxsplit=1)[1] for line in lines[-3:]][1:] == ["bias", "score"]
    assert "weaker n-grams" in lines[2]
    assert "\x1b" not in ran.out


def test_each_label_that_is_asked_for_is_explained(run: Run, model_folder: Path) -> None:
    ran = run("explain", model_folder, TEXT, "other", "--label", "repair", "--label", "billing")
    assert [(row["text"], row["label"]) for row in rows(ran.out)] == [
        (TEXT, "repair"), (TEXT, "billing"), ("other", "repair"), ("other", "billing"),
    ]  # fmt: skip


def test_the_smallest_change_that_gives_another_label_may_be_asked_for(run: Run, model_folder: Path) -> None:
    (row,) = rows(run("explain", model_folder, "my parcel", "--counterfactual").out)
    (found,) = TextClassifier.load(model_folder).counterfactuals(["my parcel"])
    assert found is not None
    assert row["counterfactual"] == json.loads(json.dumps(found.to_dict()))
    shown = run("explain", model_folder, "--no-json", "my parcel", "", "--counterfactual").out
    assert f"  would be {found.label}, {found.probability:.1%}, with 'parcel' " in shown
    assert "no small change of words gives another label" in shown


def test_texts_come_from_a_table_or_from_standard_input(run: Run, model_folder: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "mails.csv", ["my parcel", "error 14"], ["", ""])
    assert [row["text"] for row in rows(run("explain", model_folder, "--input", table).out)] == [
        "my parcel",
        "error 14",
    ]
    piped = run("explain", model_folder, stdin=b"my parcel\nerror 14\n" * 50)
    assert len(rows(piped.out)) == 100


def test_unknown_words_and_what_was_not_read_are_told(run: Run, model_folder: Path) -> None:
    ran = run("explain", model_folder, "--no-json", "zyzzyva " * 2000)
    assert "zyzzyva (unknown)" in ran.out
    assert "not read, for the text is too long: characters 8,000 to 15,999" in ran.out


def test_a_network_that_adds_up_no_ngrams_is_explained_by_leaving_words_out(run: Run, tmp_path: Path) -> None:
    from ...conftest import TINY, tiny_corpus

    config = {**TINY, "model": {**TINY["model"], "blocks": [{"type": "qrnn", "hidden_dim": 8}]}}
    TextClassifier(config).fit(*tiny_corpus()).save(tmp_path / "tiny" / "1")
    ran = run("explain", tmp_path / "tiny", "--no-json", "where is my parcel")
    assert ", by occlusion: leaving the strongest words out first leaves" in ran.out
    assert "what words alone do not explain" in ran.out
    assert ", by occlusion\n" in run("explain", tmp_path / "tiny", "--no-json", "").out, "nothing was left out"


def test_characters_that_are_spaces_can_be_seen(run: Run, tmp_path: Path) -> None:
    from ...conftest import TINY, tiny_corpus

    # any two characters of this text have a space among them
    config = {**TINY, "text": {"tokenizer": "character"}}
    TextClassifier(config).fit(*tiny_corpus()).save(tmp_path / "tiny" / "1")
    ran = run("explain", tmp_path / "tiny", "--no-json", "--top-n", 50, "m y p a r c e l")
    assert re.search(r"␣ [+-]\d\.\d\d", ran.out)


def test_mistakes_are_told(mistake: Any, model_folder: Path) -> None:
    assert "'deliverys'; did you mean 'delivery'" in mistake("explain", model_folder, "a", "--label", "deliverys")
    assert "give texts or --input, not both" in mistake("explain", model_folder, "a", "--input", "b.csv")
    assert "--text-column is about a table" in mistake("explain", model_folder, "a", "--text-column", "b")


def on_a_terminal(*arguments: object, **variables: str) -> str:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "textcnn.cli.main", *map(str, arguments)]
    subprocess.run(command, stdout=theirs, check=True, env={**os.environ, **variables})
    os.close(theirs)
    pieces = []
    try:
        while piece := os.read(ours, 1 << 16):
            pieces.append(piece)
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    return b"".join(pieces).decode()


def test_on_a_terminal_words_are_coloured_and_cannot_command_it(model_folder: Path) -> None:
    shown = on_a_terminal("explain", model_folder, "my parcel \x1b[2J")
    assert "\x1b[38;5;16m\x1b[48;5;" in shown
    assert "parcel" in shown
    assert "\x1b[2J" not in shown
    plain = on_a_terminal("explain", model_folder, "my parcel \x1b[2J", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "my parcel \ufffd[2J" in plain
