from __future__ import annotations

import pytest

from service.gpus import gpu_of, gpus_here, take_gpu

from ..patience import PATIENCE


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("2,3", ["2", "3"]), ("GPU-8a,MIG-7", ["GPU-8a", "MIG-7"]), ("", []), ("-1", []), ("1,-1,2", ["1"]),
        (" 0 , 1 ", ["0", "1"]),
    ],
)  # fmt: skip
def test_what_is_visible_is_what_may_be_used(given, found):
    assert gpus_here({"CUDA_VISIBLE_DEVICES": given}) == found


def test_without_a_word_all_that_are_there_are_used(tmp_path):
    assert gpus_here({}, tmp_path) == []
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus_here({}, tmp_path) == ["0", "1", "2"]


def test_processes_take_turns_and_a_named_device_is_that_of_all():
    assert [gpu_of(worker, "auto", ["2", "3"]) for worker in range(5)] == ["2", "3", "2", "3", "2"]
    assert gpu_of(1, "cuda", ["2", "3"]) == "3"
    for device in ("cpu", "cuda:1"):
        assert gpu_of(1, device, ["2", "3"]) is None
    assert gpu_of(1, "auto", []) is None


def test_a_process_sees_its_own_alone(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    assert take_gpu(1, "cuda:0") is None
    assert take_gpu(1, "auto") == "6"
    assert gpus_here({"CUDA_VISIBLE_DEVICES": "6"}) == ["6"]
    assert take_gpu(0, "auto") == "6"


SAYS_NUMBER = """
import os
from service.supervisor import WORKER, supervise

def work(replacement):
    print(os.environ[WORKER], flush=True)
    if os.environ[WORKER] == "2":
        import sys; sys.exit(3)
    import time; time.sleep(600)

if __name__ == "__main__":
    supervise(work, (), 3, wait=5)
"""


def test_every_process_is_told_its_number(tmp_path):
    from .test_supervisor import begin

    said, _ = begin(tmp_path, SAYS_NUMBER).communicate(timeout=PATIENCE)
    assert set(said.split()) <= {"0", "1", "2"} and "2" in said.split()
