from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from service.admission import Admission

from ..patience import until

# arrays between small ones that stay, as tables are between what requests leave behind
CHURN = """
import sys, numpy as np
from service.memory import return_memory
if sys.argv[1] == "return":
    assert return_memory()
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
np.ones(7_000_000, np.float32)  # freed at once: the threshold rises
before = resident()
kept = []
for _ in range(20):
    tables = [np.ones(2_500_000, np.float32) for _ in range(6)]
    kept.append(bytearray(100_000))
    del tables
print(resident() - before)
"""

# what loading models in several threads leaves free in the heaps of those threads
LOADING = """
import sys, threading, numpy as np
from service.memory import return_memory, trim_heaps
assert return_memory()
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
kept, before = [], resident()
def load():
    read = [np.ones(100_000, np.float32) for _ in range(50)]
    kept.append(bytearray(100_000))
    del read
threads = [threading.Thread(target=load) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert sys.argv[1] == "keep" or trim_heaps()
print(resident() - before)
"""


def growth(program: str, how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_tables_that_are_freed_return_to_the_system() -> None:
    grown = {how: growth(CHURN, how) for how in ("keep", "return")}
    assert grown["return"] < 36_000 < grown["keep"], grown


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_what_loading_leaves_free_returns_to_the_system() -> None:
    grown = {how: growth(LOADING, how) for how in ("keep", "trim")}
    assert grown["trim"] < 10_000 < grown["keep"], grown


def test_free_pages_are_given_back_after_a_second_with_refusals_and_the_one_behind_it(make_client, monkeypatch):
    given_back: list[bool] = []
    admissions: list[Admission] = []

    class Kept(Admission):
        def __init__(self, **options) -> None:
            super().__init__(**options)
            admissions.append(self)

    monkeypatch.setattr("service.app.GAUGES_SECONDS", 0.001)
    monkeypatch.setattr("service.app.Admission", Kept)
    monkeypatch.setattr("service.app.trim_heaps", lambda: given_back.append(True))
    client = make_client()
    for times in (0, 2, 4):
        until(lambda times=times: len(given_back) == times, "free pages given back")
        for _ in range(20):  # which take some looks
            assert client.get("/health/live").status_code == 200
        assert len(given_back) == times
        admissions[0].count_refused(3)
