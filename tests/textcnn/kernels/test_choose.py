from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from textcnn.kernels import choose as choose_module
from textcnn.kernels.choose import choose, plain_torch
from textcnn.kernels.native import native


def on_cuda(dtype: torch.dtype = torch.float32) -> Any:
    """What `choose` looks at of a tensor on a GPU."""
    return SimpleNamespace(device=torch.device("cuda"), dtype=dtype, is_cuda=True)


@pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
def test_compiled_kernels_on_a_cpu() -> None:
    assert choose("test", torch.zeros(1)) == "native"


def test_plain_torch_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with plain_torch():
        assert choose("test", torch.zeros(1)) == choose("test", on_cuda()) == "torch"
    assert not caplog.messages


def test_triton_on_a_gpu_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "find_spec", lambda _: object())
    assert choose("test", on_cuda()) == "triton"


def test_a_faster_way_that_was_passed_over_is_logged_once_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choose_module._say_once.cache_clear()
    monkeypatch.setattr(choose_module, "find_spec", lambda _: None)
    with caplog.at_level(logging.WARNING):
        assert [choose("test", on_cuda()) for _ in range(3)] == ["torch"] * 3
        assert choose("test", on_cuda(torch.float64)) == "torch"
    assert len(caplog.messages) == 2
    assert "triton is not installed; pip install 'textcnn[triton]'" in caplog.messages[0]
    assert "torch.float64" in caplog.messages[1]


def test_torch_where_results_must_repeat_and_the_gpu_kernels_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "find_spec", lambda _: object())
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert choose("test", on_cuda(), repeatable=False) == "torch"
    assert choose("test", on_cuda()) == "triton"
