"""A trained model on disk: models/<name>/<version>/. The only file that knows the names inside that folder.

Everything is safetensors or JSON, so loading a model runs no code. The manifest, with the size and SHA-256 of every
other file, is written last and the whole folder is put in its place by one rename: where it is, it is complete.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from textcnn.calibration.calibration import Calibration
from textcnn.config import RunConfig
from textcnn.data.labels import LabelSet
from textcnn.errors import ArtifactError, SchemaVersionError, TextCNNError
from textcnn.golden import Golden, read_golden
from textcnn.kernels.character_ngrams import CharacterNgrams
from textcnn.kernels.ngram_linear import NgramLinear, are_keys
from textcnn.model_card import model_card
from textcnn.safetensors_file import json_object, tensors
from textcnn.text.tokenizers import Tokenizer

Parsed = TypeVar("Parsed")

FORMAT = "textcnn-model"
SCHEMA = 1
WIDE = "wide."  # begins the names of the linear classifier's weights
CHARACTERS = "wide.characters."  # and those of its character n-grams


@dataclass(frozen=True)
class Layout:
    """File names of one schema version, in the order they are written."""

    weights: str = "model.safetensors"
    tokenizer: str = "tokenizer.json"
    labels: str = "labels.json"
    calibration: str = "calibration.json"
    config: str = "config.json"
    metrics: str = "metrics.json"
    card: str = "README.md"
    manifest: str = "manifest.json"

    @property
    def hashed(self) -> tuple[str, ...]:
        return (
            *(self.weights, self.tokenizer, self.labels, self.calibration),
            *(self.config, self.metrics, self.card),
        )


LAYOUT = Layout()


@dataclass(frozen=True, eq=False)
class Artifact:
    """A trained model: what is read from a folder or comes out of training, and all that an engine needs.

    `weights` are the network's, by name; `wide` is the linear classifier whose logits are added to its.
    """

    config: RunConfig
    labels: LabelSet
    tokenizer: Tokenizer
    weights: Mapping[str, np.ndarray[Any, Any]]
    metrics: Mapping[str, Any]
    wide: NgramLinear | None = None
    calibration: Calibration = Calibration()
    name: str = "unsaved"
    version: str = "0"
    golden: tuple[Golden, ...] = ()

    def check_answers(self) -> None:
        """Raises ArtifactError for an encoder without labels, as pre-training makes them."""
        if not self.labels.names:
            raise ArtifactError(
                f"{self.name}/{self.version} is a pre-trained encoder without labels; "
                "make a classifier of it with textcnn train --start-from"
            )


def check_place(folder: Path, *, overwrite: bool = False) -> None:
    """Raises ArtifactError if no model can be written at `folder`. Asked before training too: no work is lost."""
    try:
        home = next(parent for parent in folder.absolute().parents if parent.exists())
        if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
            raise ArtifactError(f"cannot write {folder}: {home} is {'not writable' if home.is_dir() else 'a file'}")
        if folder.exists() and not folder.is_dir():
            raise ArtifactError(f"{folder} is a file; a model is a folder, usually models/<name>/<version>")
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        if not overwrite:
            raise ArtifactError(f"{folder} exists already; choose another version, or pass --overwrite")
        if not (folder / LAYOUT.manifest).is_file():
            raise ArtifactError(f"{folder} holds something else than a model (no {LAYOUT.manifest}): not overwritten")
    except OSError as error:
        raise ArtifactError(f"cannot write {folder}: {error.strerror}") from None


def write_artifact(folder: Path, artifact: Artifact, *, overwrite: bool = False) -> None:
    """Write a model folder: beside its place first, then one rename.

    Raises ArtifactError if it is there already or cannot be written; what was there is then untouched.
    """
    folder = folder.absolute()
    check_place(folder, overwrite=overwrite)
    beside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        _write_files(beside, artifact, title=f"{folder.parent.name}/{folder.name}")
        _put_in_place(beside, folder)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"cannot write {folder}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if beside:
            shutil.rmtree(beside, ignore_errors=True)


def _write_files(folder: Path, artifact: Artifact, *, title: str) -> None:
    weights = {**artifact.weights, **(_wide_weights(artifact.wide) if artifact.wide else {})}
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / LAYOUT.weights)
    artifact.tokenizer.save(folder / LAYOUT.tokenizer)
    _write(folder / LAYOUT.labels, artifact.labels.to_json())
    _write(folder / LAYOUT.calibration, artifact.calibration.to_json())
    _write(folder / LAYOUT.config, artifact.config.to_json())
    _write(folder / LAYOUT.metrics, json.dumps(artifact.metrics, ensure_ascii=False, indent=2) + "\n")
    _write(
        folder / LAYOUT.card,
        model_card(
            title,
            artifact.config,
            artifact.metrics,
            labels=artifact.labels.names,
            vocabulary=len(artifact.tokenizer),
            abstains=bool(artifact.calibration.thresholds),
        ),
    )
    manifest = {
        "format": FORMAT,
        "schema": SCHEMA,
        "textcnn": importlib.metadata.version("textcnn"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": {name: _fingerprint((folder / name).read_bytes()) for name in LAYOUT.hashed},
        "golden": [asdict(one) for one in artifact.golden],
    }
    _write(folder / LAYOUT.manifest, json.dumps(manifest, indent=2) + "\n")
    # mkdtemp and safetensors write for the owner alone; a service often runs as somebody else
    folder.chmod(0o755)
    (folder / LAYOUT.weights).chmod(0o644)


def _put_in_place(beside: Path, folder: Path) -> None:
    """Rename `beside` to `folder`; a model that is there steps aside, and comes back if that fails."""
    old = beside.with_name(beside.name + ".old")
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(beside, folder)
    except BaseException:
        if old.exists():
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_artifact(path: str | Path) -> Artifact:
    """Open a model folder, or the newest version inside models/<name>; checks every size and hash.

    Raises ArtifactError naming the file that is missing or damaged, SchemaVersionError for one of a newer textcnn.
    """
    if not isinstance(path, (str, Path)):
        raise ArtifactError(f"path is {path!r}, expected the folder of a model")
    try:
        return _read(find_version(Path(path)).resolve())
    except OSError as error:
        raise ArtifactError(f"cannot read the model at {path}: {error.strerror or error}") from None


def _read(folder: Path) -> Artifact:
    manifest = _parsed(folder / LAYOUT.manifest, _content(folder / LAYOUT.manifest), json_object)
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

    def part(name: str, parse: Callable[[memoryview], Parsed]) -> Parsed:
        return _parsed(folder / name, content[name], parse)

    config = part(LAYOUT.config, lambda data: RunConfig.from_mapping(json_object(data)))
    labels = part(LAYOUT.labels, lambda data: LabelSet.from_json(str(data, "utf-8")))
    spelled = config.model.spelled
    weights = part(LAYOUT.weights, tensors)
    tokenizer = part(
        LAYOUT.tokenizer, lambda data: Tokenizer.from_json(str(data, "utf-8"), config.text, spelled=spelled)
    )
    return Artifact(
        config,
        labels,
        tokenizer,
        weights,
        part(LAYOUT.metrics, json_object),
        _wide(weights, config, len(tokenizer), len(labels), folder / LAYOUT.weights),
        part(LAYOUT.calibration, lambda data: Calibration.from_json(str(data, "utf-8"), classes=len(labels))),
        name=folder.parent.name,
        version=folder.name,
        golden=read_golden(manifest.get("golden", []), labels, folder / LAYOUT.manifest),
    )


def _wide_weights(wide: NgramLinear) -> dict[str, np.ndarray[Any, Any]]:
    found = {WIDE + name: getattr(wide, name) for name in ("keys", "scale", "weight", "bias")}
    if spelled := wide.characters:
        found |= {CHARACTERS + name: getattr(spelled, name) for name in ("keys", "scale", "weight")}
        found[CHARACTERS + "length"] = np.array([spelled.length], np.float32)
    return found


def _wide(
    weights: dict[str, np.ndarray[Any, Any]], config: RunConfig, vocabulary: int, classes: int, path: Path
) -> NgramLinear | None:
    """The linear classifier among the weights, which are then the network's. Raises ArtifactError."""
    found = {name: weights.pop(name) for name in list(weights) if name.startswith(WIDE)}
    unfit, again = f"{path} does not fit its configuration", "copy or train the model again"
    if not config.model.wide.ngrams:
        if found:
            raise ArtifactError(f"{unfit}: it has {', '.join(sorted(found))}, but no model.wide.ngrams; {again}")
        return None
    keys = found.get(WIDE + "keys", np.zeros(0))
    shapes = {WIDE + name: shape for name, shape in _row_shapes(keys, classes).items()} | {WIDE + "bias": (classes,)}
    spelled = found.get(CHARACTERS + "keys")
    if spelled is not None:  # there are none where no n-gram is in enough words
        if not config.model.wide.characters:
            raise ArtifactError(f"{unfit}: it has {CHARACTERS}keys, but no model.wide.characters; {again}")
        if config.model.wide.characters == "auto":  # which training has settled
            raise ArtifactError(f"{unfit}: model.wide.characters is 'auto', expected a number; {again}")
        shapes |= {CHARACTERS + name: shape for name, shape in _row_shapes(spelled, classes).items()}
        shapes[CHARACTERS + "length"] = (1,)
    if unknown := sorted(found.keys() - shapes.keys()):
        raise ArtifactError(f"{unfit}: it has {', '.join(unknown)}, which belongs to nothing else in it; {again}")
    for name, shape in shapes.items():
        value, dtype = found.get(name), np.dtype("int64" if name.endswith("keys") else "float32")
        if value is None or value.dtype != dtype or value.shape != shape:
            there = "missing" if value is None else f"{value.dtype}{list(value.shape)}"
            raise ArtifactError(f"{unfit}: {name} is {there}, expected {dtype}{list(shape)}; {again}")
    positive = [name for name in shapes if name.endswith(("scale", "length"))]
    with np.errstate(all="ignore"):
        finite = all(np.isfinite(value.sum()) for value in found.values())
    if not finite or not all((found[name] > 0).all() for name in positive):
        raise ArtifactError(f"{path} has weights of n-grams that are no finite numbers, or scales not above 0; {again}")
    if not are_keys(keys, vocabulary):
        raise ArtifactError(f"{path} has n-grams that are not in order, or not of words of the vocabulary; {again}")
    characters = None
    if spelled is not None:
        if not ((spelled[:1] >= 0).all() and (spelled[1:] > spelled[:-1]).all()):
            raise ArtifactError(f"{path} has character n-grams that are not in order; {again}")
        characters = CharacterNgrams(
            spelled, found[CHARACTERS + "scale"], found[CHARACTERS + "weight"],
            length=float(found[CHARACTERS + "length"][0]), longest=int(config.model.wide.characters),
        )  # fmt: skip
    return NgramLinear(keys, found[WIDE + "scale"], found[WIDE + "weight"], found[WIDE + "bias"], characters)


def _row_shapes(keys: np.ndarray[Any, Any], classes: int) -> dict[str, tuple[int, ...]]:
    return {"keys": (keys.size,), "scale": (keys.size,), "weight": (keys.size, classes)}


def find_version(path: Path) -> Path:
    """The model folder at `path`, or the highest version below it. Raises ArtifactError saying what is there."""
    if found := model_versions(path):
        return found[-1]
    if not path.exists():
        raise ArtifactError(f"there is no model at {path}: no such folder")
    seen = ", ".join(folder.name for folder in _visible(path)[:10]) if path.is_dir() else "a file"
    raise ArtifactError(
        f"there is no model at {path}: expected {LAYOUT.manifest}, or a folder for each version with one; "
        f"found {seen or 'an empty folder'}"
    )


def model_versions(path: Path) -> list[Path]:
    """`path` itself if it is a complete model, else the complete models right below it, lowest version first."""
    if (path / LAYOUT.manifest).is_file():
        return [path]
    complete = [folder for folder in _visible(path) if (folder / LAYOUT.manifest).is_file()]
    return sorted(complete, key=lambda folder: _numerically(folder.name))


def _visible(folder: Path) -> list[Path]:
    """What is in a folder; a hidden one is a model that is just being written, or was when its writer was killed."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry for entry in entries if not entry.name.startswith("."))


def _numerically(version: str) -> list[str | int]:
    """Sort key that puts 10 after 9. Words and numbers alternate, so only like is compared with like."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", version))]


def last_version(home: Path) -> int:
    """The highest number that a version below models/<name> has for a name, complete or not; 0 where none has."""
    return max((int(child.name) for child in home.glob("*") if re.fullmatch(r"[0-9]+", child.name)), default=0)


def _verified(folder: Path, manifest: Mapping[str, Any]) -> dict[str, memoryview]:
    """The content of every file, each of the size and hash that the manifest states."""
    files = manifest.get("files")
    if (
        not isinstance(files, Mapping)
        or set(files) != set(LAYOUT.hashed)
        or not all(isinstance(stated, Mapping) for stated in files.values())
    ):
        raise ArtifactError(f"{folder / LAYOUT.manifest} does not list exactly the files {', '.join(LAYOUT.hashed)}")
    content = {}
    for name in LAYOUT.hashed:
        path = folder / name
        if path.is_symlink():
            raise ArtifactError(f"{path} is a symbolic link, which may lead anywhere; copy the file itself")
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; the model is incomplete, copy or train it again")
        size, expected = path.stat().st_size, files[name].get("size")
        if size != expected:
            raise ArtifactError(
                f"{path} has {size:,} bytes, the manifest says {expected}; copy or train the model again"
            )
        content[name] = _content(path)
        if _fingerprint(content[name])["sha256"] != files[name].get("sha256"):
            raise ArtifactError(
                f"{path} is not the file that was saved (its SHA-256 differs); copy or train the model again"
            )
    return content


def _content(path: Path) -> memoryview:
    return np.fromfile(path, np.uint8).data


def _fingerprint(content: bytes | memoryview) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _parsed(path: Path, content: memoryview, parse: Callable[[memoryview], Parsed]) -> Parsed:
    """What `parse` makes of the content of `path`. Raises ArtifactError that names the file."""
    try:
        return parse(content)
    except (TextCNNError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
