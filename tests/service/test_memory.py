from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_tables_that_are_freed_return_to_the_system() -> None:
    command = [sys.executable, "-c", CHURN]
    grown = {
        how: int(subprocess.run([*command, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "return")
    }
    assert grown["return"] < 36_000 < grown["keep"], grown
