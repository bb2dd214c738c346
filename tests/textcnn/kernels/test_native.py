from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from zlib import crc32

import pytest

import textcnn.kernels
from service import native_wire
from textcnn.kernels.native import INTERFACE, native
from textcnn.text import word_ids


@pytest.fixture
def asked_anew() -> Iterator[None]:
    native.cache_clear()
    yield
    native.cache_clear()


@pytest.mark.parametrize("stated", [None, "0" * 8], ids=["before it was stated", "another one"])
def test_an_extension_of_other_sources_is_not_used_and_that_is_said_with_what_to_do(
    stated: str | None, asked_anew: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outdated = ModuleType("textcnn.kernels._native")
    outdated.__file__ = "kernels/_native.so"
    if stated:
        outdated.INTERFACE = stated  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, outdated.__name__, outdated)
    monkeypatch.setattr(textcnn.kernels, "_native", outdated, raising=False)
    with caplog.at_level(logging.WARNING):
        assert native() is native() is None
    (said,) = caplog.messages
    assert said.startswith("kernels/_native.so was compiled from other sources") and "pip install --editable ." in said


def test_an_extension_of_these_sources_is_used(
    asked_anew: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    current = ModuleType("textcnn.kernels._native")
    current.INTERFACE = INTERFACE  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, current.__name__, current)
    monkeypatch.setattr(textcnn.kernels, "_native", current, raising=False)
    assert native() is current and not caplog.messages


@pytest.mark.parametrize(
    ("source", "stated"),
    [("textcnn/text/_word_ids.c", word_ids.INTERFACE), ("service/_wire.c", native_wire.INTERFACE)],
)
def test_what_reads_and_writes_texts_states_its_interface(source: str, stated: str) -> None:
    root = Path(textcnn.kernels.__path__[0]).parent.parent
    code, texts = (root.joinpath(name).read_text(encoding="utf-8") for name in (source, "textcnn/text/_texts.h"))
    names = re.findall(r'{"(\w+)", \w+, METH_', code)
    parameters = re.findall(r"_ParseTuple\w*\((.*?)\)\)", code, re.DOTALL)
    assert len(parameters) == code.count("PyArg_Parse") > 1
    there_is = f"{crc32((' '.join(' '.join(names + parameters).split()) + texts).encode()):08x}"
    assert re.findall(r'#define INTERFACE "(\w+)"', code) == [stated] == [there_is]


def test_both_sides_state_the_interface_that_there_is() -> None:
    """Whoever changes a function of the extension finds here what to write in native.py and in _native.c."""
    folder = Path(textcnn.kernels.__path__[0])
    source, stub = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("_native.c", "_native.pyi"))
    names, parameters = (
        re.findall(part, source, re.DOTALL) for part in (r'{"(\w+)", \w+, METH_', r"_ParseTuple\((.*?)\)\)")
    )
    assert sorted(names) == sorted(re.findall(r"^def (\w+)", stub, re.MULTILINE))
    assert len(parameters) == source.count("PyArg_Parse") > 15
    there_is = f"{crc32(' '.join(' '.join(names + parameters).split()).encode()):08x}"
    assert re.findall(r'#define INTERFACE "(\w+)"', source) == [INTERFACE] == [there_is]
