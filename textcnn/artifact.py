"""A trained model on disk: models/<name>/<version>/. The only file that knows the names inside that folder.

Everything is safetensors or JSON, so loading a model runs no code. The manifest, with the size and SHA-256 of every other
file, is written last and the whole folder is put in its place by one rename: where it is, it is complete.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save_file

from textcnn.config import RunConfig
from textcnn.data.labels import LabelSet
from textcnn.errors import ArtifactError, ConfigError, SchemaVersionError
from textcnn.text.tokenizers import Tokenizer

FORMAT = "textcnn-model"
SCHEMA = 1


@dataclass(frozen=True)
class Layout:
    """File names of one schema version, in the order they are written."""

    weights: str = "model.safetensors"
    tokenizer: str = "tokenizer.json"
    labels: str = "labels.json"
    config: str = "config.json"
    metrics: str = "metrics.json"
    card: str = "README.md"
    manifest: str = "manifest.json"

    @property
    def hashed(self) -> tuple[str, ...]:
        return (self.weights, self.tokenizer, self.labels, self.config, self.metrics, self.card)


LAYOUT = Layout()


@dataclass(frozen=True, eq=False)
class Artifact:
    """A trained model: what is read from a folder or comes out of training, and all that an engine needs."""

    config: RunConfig
    labels: LabelSet
    tokenizer: Tokenizer
    weights: Mapping[str, np.ndarray[Any, Any]]
    metrics: Mapping[str, Any]
    name: str = "unsaved"
    version: str = "0"


def write_artifact(folder: Path, artifact: Artifact, *, overwrite: bool = False) -> None:
    """Write a model folder: beside its place first, then one rename. Raises ArtifactError if it is there already."""
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ArtifactError(f"{folder} exists already; choose another version, or pass --overwrite")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        save_file(
            {name: np.ascontiguousarray(value) for name, value in artifact.weights.items()}, beside / LAYOUT.weights
        )
        artifact.tokenizer.save(beside / LAYOUT.tokenizer)
        _write(beside / LAYOUT.labels, artifact.labels.to_json())
        _write(beside / LAYOUT.config, artifact.config.to_json())
        _write(beside / LAYOUT.metrics, json.dumps(artifact.metrics, ensure_ascii=False, indent=2) + "\n")
        _write(beside / LAYOUT.card, model_card(f"{folder.parent.name}/{folder.name}", artifact))
        manifest = {
            "format": FORMAT,
            "schema": SCHEMA,
            "textcnn": importlib.metadata.version("textcnn"),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "files": {name: _fingerprint((beside / name).read_bytes()) for name in LAYOUT.hashed},
        }
        _write(beside / LAYOUT.manifest, json.dumps(manifest, indent=2) + "\n")
        beside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def read_artifact(path: str | Path) -> Artifact:
    """Open a model folder, or the newest version inside models/<name>; checks every size and hash.

    Raises ArtifactError naming the file that is missing or damaged, SchemaVersionError for one of a newer textcnn.
    """
    folder = find_version(Path(path)).resolve()
    manifest = _json((folder / LAYOUT.manifest).read_bytes(), folder / LAYOUT.manifest)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder / LAYOUT.manifest} has format {manifest.get('format')!r}, expected {FORMAT!r}")
    schema = manifest.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise ArtifactError(f"{folder / LAYOUT.manifest} has schema {schema!r}, expected a number from 1 to {SCHEMA}")
    if schema > SCHEMA:
        raise SchemaVersionError(
            f"{folder} was written by textcnn {manifest.get('textcnn', 'of unknown version')} with schema {schema}; "
            f"this textcnn {importlib.metadata.version('textcnn')} knows schemas up to {SCHEMA}. Upgrade textcnn."
        )
    content = _verified(folder, manifest)
    try:
        config = RunConfig.from_mapping(_json(content[LAYOUT.config], folder / LAYOUT.config))
    except ConfigError as error:
        raise ArtifactError(f"{folder / LAYOUT.config} is not a configuration of this textcnn. {error}") from None
    try:
        weights = load_tensors(content[LAYOUT.weights])
    except SafetensorError as error:
        raise ArtifactError(f"{folder / LAYOUT.weights} cannot be read: {error}") from None
    return Artifact(
        config,
        LabelSet.from_json(content[LAYOUT.labels].decode()),
        Tokenizer.from_json(content[LAYOUT.tokenizer].decode(), config.text),
        weights,
        _json(content[LAYOUT.metrics], folder / LAYOUT.metrics),
        name=folder.parent.name,
        version=folder.name,
    )


def find_version(path: Path) -> Path:
    """The model folder at `path`, or the highest version below it. Raises ArtifactError saying what is there."""
    if (path / LAYOUT.manifest).is_file():
        return path
    versions = sorted(
        (child.parent for child in path.glob(f"*/{LAYOUT.manifest}")), key=lambda folder: version_key(folder.name)
    )
    if versions:
        return versions[-1]
    if not path.exists():
        raise ArtifactError(f"there is no model at {path}: no such folder")
    found = ", ".join(sorted(child.name for child in path.iterdir())[:10]) if path.is_dir() else "a file"
    raise ArtifactError(
        f"there is no model at {path}: expected {LAYOUT.manifest}, or a folder for each version with one; found {found or 'an empty folder'}"
    )


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts 2 before 10 and 1.9 before 1.10."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in version.replace("-", ".").split(".")
    )


def model_card(title: str, artifact: Artifact) -> str:
    """What a person should know before using the model, as Markdown."""
    config, metrics = artifact.config, artifact.metrics
    embedding = config.model.embedding
    figures = [
        f"| {part} | {metrics[part]['texts']:,} | {metrics[part]['accuracy']:.1%} | {metrics[part]['loss']:.3f} |"
        for part in ("validation", "test")
        if metrics.get(part)
    ]
    blocks = ", ".join(
        f"{spec['type']} ({', '.join(f'{key} {value}' for key, value in spec.items() if key != 'type')})"
        for spec in config.model.blocks
    )
    return "\n".join(
        [
            f"# {title}",
            "",
            "A sentence CNN (Kim 2014) trained by textcnn. It gives one of these labels to a text:",
            "",
            *(f"- `{name}`" for name in artifact.labels.names),
            "",
            "## How good it is",
            "",
            *(
                ["| data | texts | accuracy | log loss |", "|---|---|---|---|", *figures]
                if figures
                else ["Not evaluated."]
            ),
            "",
            "The figures hold for texts like those it was trained on; it always answers, also for texts of another kind.",
            "",
            "## What it is",
            "",
            f"- text: {config.text.tokenizer} tokens, {len(artifact.tokenizer):,} in the vocabulary, {'lower-cased' if config.text.lowercase else 'case kept'}, the first {config.text.max_length} tokens of a text",
            f"- embedding: {embedding.mode}, {embedding.dim} dimensions"
            + (f", from {Path(embedding.vectors).name}" if embedding.vectors else ""),
            f"- blocks: {blocks}; pooling: {config.model.pooling['type']}; head: {config.model.head['type']}",
            f"- training: {metrics.get('training_texts', 0):,} texts, best of {len(metrics.get('history', []))} epochs: {metrics.get('best_epoch', 0)}",
            "",
            "## How to use it",
            "",
            "```",
            f'textcnn predict models/{title} "a text"',
            f"textcnn serve --model {title}",
            "```",
            "",
        ]
    )


def _verified(folder: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of every file, each of the size and hash that the manifest states."""
    files = manifest.get("files")
    if not isinstance(files, Mapping) or set(files) != set(LAYOUT.hashed):
        raise ArtifactError(f"{folder / LAYOUT.manifest} does not list exactly the files {', '.join(LAYOUT.hashed)}")
    content = {}
    for name in LAYOUT.hashed:
        path = folder / name
        if not path.is_file() or path.is_symlink():
            raise ArtifactError(f"{path} is missing; the model is incomplete, copy or train it again")
        size, expected = path.stat().st_size, files[name].get("size")
        if size != expected:
            raise ArtifactError(
                f"{path} has {size:,} bytes, the manifest says {expected}; copy or train the model again"
            )
        content[name] = path.read_bytes()
        if _fingerprint(content[name])["sha256"] != files[name].get("sha256"):
            raise ArtifactError(
                f"{path} is not the file that was saved (its SHA-256 differs); copy or train the model again"
            )
    return content


def _fingerprint(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value
