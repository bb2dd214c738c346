"""Which way a torch operation of this folder runs, and a line in the log whenever a faster one was passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch

from textcnn.kernels.native import native

log = logging.getLogger(__name__)
Way = Literal["native", "triton", "torch"]
_plain = ContextVar("_plain", default=False)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, all runs in plain torch, which can see its own operations and count them."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def choose(operation: str, like: torch.Tensor, *, repeatable: bool = True) -> Way:
    """`native` on a CPU, `triton` on CUDA, plain `torch` where neither can; `like` is one of the operation's floats.

    `repeatable` says whether the Triton kernels give the same bits in every run.
    """
    if _plain.get():
        return "torch"
    reason = _why_not(like.device.type, like.dtype, repeatable)
    if reason is None:
        return "triton" if like.is_cuda else "native"
    _say_once(operation, reason)
    return "torch"


def _why_not(device: str, dtype: torch.dtype, repeatable: bool) -> str | None:
    if device not in ("cpu", "cuda"):
        return f"there is no kernel for {device}"
    if dtype != torch.float32:
        return f"the kernels take torch.float32, not {dtype}"
    if device == "cpu" and native() is None:
        return "there are no compiled kernels"
    if device == "cuda" and find_spec("triton") is None:
        return "triton is not installed; pip install 'textcnn[triton]'"
    if device == "cuda" and not repeatable and torch.are_deterministic_algorithms_enabled():
        return "its GPU kernel adds in no fixed order and torch.use_deterministic_algorithms asks for one"
    return None


@cache
def _say_once(operation: str, reason: str) -> None:
    log.warning("%s runs in plain torch, which is several times slower: %s", operation, reason)
