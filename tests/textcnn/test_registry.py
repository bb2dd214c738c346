from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
from pydantic import Field

from textcnn.errors import ConfigError
from textcnn.registry import AUGMENTATIONS, BLOCKS, HEADS, LOSSES, POOLINGS, TOKENIZERS, Registry, nearest


def colours() -> Registry:
    registry = Registry("colour")

    @registry.register("red")
    class Red:
        def __init__(self, in_dim: int, *, depth: Annotated[int, Field(ge=1)] = 3, shade: str) -> None:
            self.in_dim, self.depth, self.shade = in_dim, depth, shade

    @registry.register("green")
    def green(*, depth: int = 1) -> int:
        return depth

    return registry


def test_nearest_offers_one_name_or_nothing() -> None:
    assert nearest("kim_cnv", ["kim_conv", "qrnn"]) == "; did you mean 'kim_conv'?"
    assert nearest("QRNN", ["kim_conv", "qrnn"]) == "; did you mean 'qrnn'?"
    assert nearest("something else", ["kim_conv", "qrnn"]) == ""


def test_names_are_sorted_and_known_before_anything_is_imported() -> None:
    assert list(colours()) == ["green", "red"]
    assert "kim_conv" in BLOCKS.names()
    assert "max_over_time" in POOLINGS.names()
    assert "single_label" in HEADS.names()
    assert TOKENIZERS.names() == ["bpe", "character", "unigram", "word"]


def test_a_name_is_registered_once() -> None:
    registry = colours()
    with pytest.raises(AssertionError, match="registered twice"):
        registry.register("red")(int)


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown colour 'redd'; did you mean 'red'\? \(known: green, red\)"):
        colours().get("redd")


def test_building_fills_in_defaults_and_what_only_the_builder_knows() -> None:
    red = colours().build({"type": "red", "shade": "dark"}, in_dim=7)
    assert (red.in_dim, red.depth, red.shade) == (7, 3, "dark")
    assert colours().build({"type": "green", "depth": 4}) == 4


def test_check_finds_every_fault_of_a_spec_at_once() -> None:
    faults = colours().check({"type": "red", "dpeth": 2, "depth": 0, "in_dim": 9}, "paint")
    assert faults == [
        "paint.depth: input should be greater than or equal to 1, found 0",
        "paint.shade: is required",
        "paint.dpeth: unknown setting; did you mean 'depth'? (known: depth, shade)",
        "paint.in_dim: unknown setting (known: depth, shade)",
    ]


@pytest.mark.parametrize("spec", [{}, {"type": 5}])
def test_check_asks_for_a_type(spec: dict[str, object]) -> None:
    assert colours().check(spec, "paint") == ["paint: no type; give one of green, red"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_must_be_finite(number: float) -> None:
    assert HEADS.check({"type": "single_label", "max_norm": number}, "head")


def test_resolve_gives_plain_json_with_all_options() -> None:
    assert colours().resolve({"type": "red", "shade": "dark"}) == {"type": "red", "depth": 3, "shade": "dark"}
    with pytest.raises(ConfigError, match="shade: is required"):
        colours().resolve({"type": "red"})


def test_a_lazy_part_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("engine", {"fast": "a_module_for_this_test:Fast", "gone": "there_is_no_such_module:X"})
    assert registry.names() == ["fast", "gone"]
    module = ModuleType("a_module_for_this_test")
    module.Fast = int
    monkeypatch.setitem(sys.modules, "a_module_for_this_test", module)
    assert registry.get("fast") is int
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        registry.get("gone")


def test_every_part_stands_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "MODELS.md").read_text(encoding="utf-8")
    for registry in (BLOCKS, POOLINGS, HEADS, LOSSES, AUGMENTATIONS, TOKENIZERS):
        for name in registry:
            assert re.search(rf"\b{name}\b", page), f"{registry.kind} {name} is not in docs/MODELS.md"
