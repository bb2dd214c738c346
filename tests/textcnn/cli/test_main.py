from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from textcnn.cli.main import COMMANDS, main

from .conftest import Run

LOOK_AT_EVERY_HELP = """
import sys
from click.testing import CliRunner
from textcnn.cli.main import COMMANDS, cli

for arguments in (["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.replace("\\n", "").isprintable(), result.output
    assert arguments == ["--version"] or "Examples:" in result.output, arguments
    assert arguments == ["--version"] or f"textcnn {arguments[0] if arguments[1:] else 'train'} " in result.output
print(sorted({"torch", "numpy", "pydantic", "pyarrow", "sklearn"} & set(sys.modules)))
"""


def test_every_help_shows_examples_and_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK_AT_EVERY_HELP], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "[]\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("closed", "answered"), [("<&-", True), (">&-", False), ("2>&-", True), ("<&- >&- 2>&-", False)]
)
def test_a_stream_that_is_closed_is_like_one_to_nowhere(model_folder: Path, closed: str, answered: bool) -> None:
    command = [sys.executable, "-m", "textcnn.cli.main", "predict", str(model_folder)]
    for texts in ([], ["hello"]):  # without any, standard input is read
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" "$@" {closed}', *command, *texts],
            capture_output=True,
            input=b"hello\n",
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert bool(done.stdout) == (answered and (bool(texts) or "<" not in closed))


def test_every_command_is_listed_with_a_line_of_help(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name, line in COMMANDS.items():
        assert name in ran.out
        assert line in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predicts"], "there is no command 'predicts'; did you mean 'predict'?"),
        (["train"], "Missing argument 'DATA'"),
        (["--nonsense"], "No such option"),
        (["evaluate", "models/x"], "Missing argument 'DATA'"),
    ],
)
def test_a_wrong_call_is_told_and_ends_with_2(mistake: Any, arguments: list[str], message: str) -> None:
    assert message in mistake(*arguments)


def test_what_begins_with_a_dash_is_told_how_to_be_written(mistake: Any, here: Path, model_folder: Path) -> None:
    for name in ("-dash.csv", "--two words.csv"):
        Path(name).touch()
        for command in (["train", name], ["check", name], ["predict", model_folder, "--input", "x.csv", name]):
            assert f"is written {shlex.quote('./' + name)}." in mistake(*command)
    said = mistake("predict", model_folder, "-5 degrees outside")
    assert "goes to the end, behind --: ... -- '-5 degrees outside'" in said
    assert "dash" not in mistake("train", "train.csv", "--nonsense") + mistake("train", "-x")


def test_no_command_shows_the_help(run: Run) -> None:
    ran = run()
    assert "Usage: textcnn" in ran.out + ran.err  # where, and the exit code, depend on click's version


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_there(shell: str) -> None:
    environment = {**os.environ, "_TEXTCNN_COMPLETE": f"{shell}_source"}
    command = [sys.executable, "-c", "from textcnn.cli.main import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "_TEXTCNN_COMPLETE" in done.stdout


def test_ctrl_c_ends_with_130_and_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("textcnn.classifier.TextClassifier.load", interrupt)
    ran = run("predict", "models/x", "a text")
    assert (ran.code, ran.err) == (130, "\ninterrupted\n")


def test_ctrl_c_while_something_is_imported_leaves_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_imported(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:  # as C code does
            raise ImportError("numpy._core.multiarray failed to import") from None

    monkeypatch.setattr("textcnn.classifier.TextClassifier.load", half_imported)
    ran = run("predict", "models/x", "a text")
    assert (ran.code, ran.err) == (130, "interrupted\n")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("cannot import name 'x'")

    monkeypatch.setattr("textcnn.classifier.TextClassifier.load", broken)
    monkeypatch.setattr(sys, "argv", ["textcnn", "predict", "models/x", "a text"])
    with pytest.raises(ImportError, match="cannot import name"):
        main()


def test_a_part_that_is_not_installed_is_named_with_its_pip_command(
    mistake: Any, monkeypatch: pytest.MonkeyPatch, model_folder: object
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for module in [name for name in sys.modules if name.startswith("textcnn.data.readers")]:
        monkeypatch.delitem(sys.modules, module)
    said = mistake("predict", model_folder, "--input", "texts.csv")
    assert "this command needs pyarrow, which is not installed" in said
    assert "pip install 'textcnn[train]'" in said


def test_serve_becomes_the_service(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: started.append(command))
    run("serve", "--model", "support/1", "--port", "8080")
    run("serve", "--", "--help")
    assert started == [
        [sys.executable, "-P", "-m", "service", "--model", "support/1", "--port", "8080"],
        [sys.executable, "-P", "-m", "service", "--help"],
    ]


def test_serve_says_what_is_missing(mistake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "serving needs fastapi, which is not installed" in mistake("serve")
