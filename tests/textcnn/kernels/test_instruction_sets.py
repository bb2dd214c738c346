from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from textcnn.kernels.native import native

from ...patience import PATIENCE

pytestmark = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
# those with compiled code of each set, but for the tables', which have a test of their own
FILES = ("test_causal_conv.py", "test_conv_max.py", "test_fo_pool.py", "test_merge_windows.py", "test_row_updates.py")


@pytest.mark.parametrize("instruction_set", ["base", "v3"])
def test_older_instruction_sets_pass_the_same_tests(instruction_set: str) -> None:
    """The choice is made once at import, so each has a process of its own."""
    files = [str(Path(__file__).with_name(name)) for name in FILES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env={**os.environ, "TEXTCNN_INSTRUCTION_SET": instruction_set},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_kernel_without_memory_says_so() -> None:
    """More than any machine can address, which is asked for before anything is read."""
    module, far = native(), 1 << 46
    assert module is not None
    some, places, ids = np.zeros(4, np.float32), np.zeros(4, np.int64), np.zeros(4, np.int32)
    with pytest.raises(MemoryError):
        module.tile_conv(some, some, places, some, far, 1, 1, 2, False, False, 0, 1)
    with pytest.raises(MemoryError):
        module.tile_outer(some, some, places, some, far, 1, 1, 2, False, False, 0, 1)
    with pytest.raises(MemoryError):
        module.conv_max_backward(some, places, ids, ids, some, some, None, some, far, 1, 0, 0, 1)
