"""The command as its user has it: arguments in; exit code, output and messages back. In this process, to be quick."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from textcnn.cli.main import main

from ...conftest import tiny_corpus, write_csv


@dataclass
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["textcnn", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = (stream.decode() for stream in capfdbinary.readouterr())
        assert "Traceback" not in err
        return Ran(ended.value.code, out, err)

    return call


@pytest.fixture
def mistake(run: Run) -> Callable[..., str]:
    """A call that the user has got wrong: the message, all of it."""

    def call(*arguments: object, stdin: bytes = b"") -> str:
        ran = run(*arguments, stdin=stdin)
        assert ran.code == 2
        assert ran.out == ""
        return ran.err

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, but for train.csv and test.csv."""
    write_csv(tmp_path / "train.csv", *tiny_corpus())
    write_csv(tmp_path / "test.csv", *tiny_corpus(30, seed=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path
