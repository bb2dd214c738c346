"""Named settings, one TOML file each; the first line says what it is. They only fill in numbers."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

DEFAULT_PRESET = "wide_and_deep"


def preset_names() -> list[str]:
    """Every preset: the default, the paper's, then the others by name."""
    found = [file.name.removesuffix(".toml") for file in files(__name__).iterdir() if file.name.endswith(".toml")]
    return sorted(found, key=lambda name: (name != DEFAULT_PRESET, not name.startswith("kim_"), name))


@cache
def preset_text(name: str) -> str:
    """The file of a preset, as it stands."""
    return (files(__name__) / f"{name}.toml").read_text("utf-8")


def about_preset(name: str) -> str:
    """Its first line."""
    return preset_text(name).partition("\n")[0].removeprefix("# ")


def preset_settings(name: str) -> dict[str, Any]:
    """What it changes in the defaults, by section."""
    return tomllib.loads(preset_text(name))
