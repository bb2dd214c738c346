"""Several processes and how they end; each test in a process of its own, for a supervisor takes the signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from ..patience import PATIENCE
from .conftest import ROOT

STUBBORN = """
import signal, sys, time
from service.supervisor import supervise

def work(replacement):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    print(supervise(work, (), 1, wait=0.1), flush=True)
"""

DRAINING = """
import service.server as server
from service.settings import Settings

def supervise(target, arguments, count, *, wait):
    print(wait > 20 + server.GRACEFUL_SHUTDOWN_SECONDS)
    return ending

for ending in ("well", "cannot start", "killed"):
    server.supervise = supervise
    print(server.serve(Settings(workers=2, port=0, drain_seconds=20)))
"""


def begin(tmp_path: Path, code: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_does_not_end_is_killed_and_that_is_said(tmp_path):
    process = begin(tmp_path, STUBBORN)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    said, log = process.communicate(timeout=PATIENCE)
    assert said == "killed\n"
    assert "a process did not end in time" in log


def test_processes_may_drain_before_they_are_killed_and_the_exit_code_says_how_they_ended(tmp_path):
    said, _ = begin(tmp_path, DRAINING).communicate(timeout=PATIENCE)
    assert said.split() == ["True", "0", "True", "2", "True", "1"]
