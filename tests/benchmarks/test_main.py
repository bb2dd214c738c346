"""The programs start, list themselves and say what is missing; what they measure is not tested."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.report import TARGETS
from benchmarks.service import BESIDE, chosen_rows, rows

from ..patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )


def test_help_lists_every_program() -> None:
    done = benchmarks("--help")
    assert done.returncode == 0
    for name in BENCHMARKS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("program", sorted(BENCHMARKS))
def test_every_program_can_be_imported_without_its_peers(program: str) -> None:
    assert callable(import_module(f"benchmarks.{program}").run)


def test_a_row_of_the_service_is_chosen_by_any_of_its_figures() -> None:
    assert chosen_rows(["reload_mixed", "overload_5xx", "refused_p99_ms"]) == [
        "reload_failed",
        "overload_goodput_share",
    ]
    assert set(BESIDE.values()) <= set(rows()) == set(chosen_rows([]))
    assert set(BESIDE) <= set(TARGETS)
    with pytest.raises(SystemExit, match="no row overload; there are classify_over_empty_fastapi, .*reload_mixed"):
        chosen_rows(["overload"])


def test_missing_data_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    done = benchmarks("inference", "--data", str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert str(tmp_path) in done.stderr and "--data" in done.stderr
