"""Several processes and how they end; each test in a process of its own, for a supervisor takes the signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.supervisor import METRICS_FOLDER, STARTUP_FAILURE, Worker

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
    (tmp_path / "temporary").mkdir()
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")},
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
    assert list((tmp_path / "temporary").iterdir()) == [], "the figures of all processes"


def test_processes_may_drain_before_they_are_killed_and_the_exit_code_says_how_they_ended(tmp_path):
    said, _ = begin(tmp_path, DRAINING).communicate(timeout=PATIENCE)
    assert said.split() == ["True", "0", "True", "2", "True", "1"]


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """One whose process is only said to live and to die; `worker.now` is the time."""
    made = Worker.__new__(Worker)
    monkeypatch.setattr("service.supervisor.time.monotonic", lambda: made.now)
    monkeypatch.setenv(METRICS_FOLDER, str(tmp_path))

    def start() -> None:
        made.process = SimpleNamespace(pid=4711, exitcode=1)
        made.lives, made.started = made.lives + 1, made.now

    made.now, made.lives, made.start = 1000.0, 0, start
    monkeypatch.setattr(Worker, "start", lambda self: start())
    made.__init__(print, (), 0)
    return made


def test_a_process_that_dies_again_and_again_is_started_after_longer_and_longer_pauses(worker):
    assert not worker.restart_at
    pauses = []
    for _ in range(9):
        worker.died()
        pauses.append(round(worker.restart_at - worker.now, 3))
        worker.now = worker.restart_at
        worker.start()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    worker.now += 30.1
    worker.died()
    assert worker.restart_at - worker.now == pytest.approx(0.1), "it had lived for long"


def test_the_figures_of_what_a_dead_process_was_just_doing_go_with_it(worker, tmp_path):
    for name in ("gauge_livesum_4711.db", "gauge_livesum_1.db", "counter_4711.db"):
        (tmp_path / name).touch()
    worker.died()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_4711.db", "gauge_livesum_1.db"]


@pytest.mark.parametrize(("lives", "code", "expected"), [(1, 1, False), (2, 3, False), (1, None, False), (1, 3, True)])
def test_only_a_first_process_that_says_so_cannot_start(worker, lives, code, expected):
    assert STARTUP_FAILURE == 3
    worker.lives, worker.process.exitcode = lives, code
    assert worker.cannot_start is expected
