from __future__ import annotations

import os

from benchmarks.machine import pauses


def test_pauses_are_those_of_programs_that_only_look_at_the_clock():
    found = pauses(sorted(os.sched_getaffinity(0))[:2], 0.1)
    assert 0 <= found["longest_ms"] <= found["ms_a_second"] / 10 + 1e-9  # of a tenth of a second
