"""The programs start, list themselves and say what is missing; what they measure is not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )


def test_help_lists_every_program() -> None:
    done = benchmarks("--help")
    assert done.returncode == 0
    for name in ("inference", "training", "qrnn", "explain", "startup", "evaluate", "zoo", "gpu"):
        assert f"\n  {name} " in done.stdout


def test_missing_data_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    done = benchmarks("inference", "--data", str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert str(tmp_path) in done.stderr and "--data" in done.stderr
