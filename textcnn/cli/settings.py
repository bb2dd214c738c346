"""From files, flags and overrides to one checked configuration, for the commands that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textcnn.cli.common import tell_source

if TYPE_CHECKING:
    from textcnn.config import RunConfig


def configure(
    config_file: Path | None, preset: str | None, overrides: Sequence[str],
    *, reading: dict[str, Any], vectors: str = "", mode: str | None = None, device: str = "", seed: int | None = None,
) -> RunConfig:  # fmt: skip
    """The preset, the file, the flags and the overrides, each over the one before. Raises ConfigError, ReadError."""
    from textcnn.build import resolve
    from textcnn.config import merge, read_toml
    from textcnn.presets import DEFAULT_PRESET

    values = read_toml(config_file) if config_file else {}
    in_file = str(values.pop("preset", DEFAULT_PRESET))
    flags = {
        "data": {
            "text_columns": list(reading["text_column"]), "label_column": reading["label_column"],
            "delimiter": reading["delimiter"], "encoding": reading["encoding"], "bad_rows": reading["bad_rows"],
            "seed": seed,
        },
        "train": {"device": device, "seed": seed},
        "model": {"embedding": {"vectors": vectors, "mode": mode}},
    }  # fmt: skip
    return resolve(merge(values, _given(flags)), preset=preset or in_file, overrides=overrides)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody said."""
    kept = {key: _given(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in ("", None, [], {})}


def read_labelled(path: Path, config: RunConfig, quiet: bool) -> tuple[list[str], list[str]]:
    """Texts and labels of a file, as the configuration says; how it was taken is told unless `quiet`."""
    from textcnn.data.readers import ReadOptions, read_examples

    data = config.data
    options = ReadOptions(
        text_columns=data.text_columns, label_column=data.label_column, delimiter=data.delimiter,
        encoding=data.encoding, bad_rows=data.bad_rows,
    )  # fmt: skip
    examples = read_examples(path, options)
    if not quiet:
        tell_source(path, examples)
    return examples.texts, examples.labels
