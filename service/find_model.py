"""Where the model is: models/<name>/<version>/, the highest version unless one is asked for."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from textcnn.errors import ArtifactError

# Written last, so a folder that has it is complete.
MANIFEST = "manifest.json"


def find_model(models: Path, model: str = "") -> Path:
    """The folder of `model` (a name, name/version or a path), else of the first name. Raises ArtifactError."""
    try:
        return _find(models, model)
    except OSError as error:
        raise ArtifactError(f"cannot look for models: {error.filename}: {error.strerror}") from None


def _find(models: Path, model: str) -> Path:
    for folder in (models / model, Path(model)) if model else ():
        if (folder / MANIFEST).is_file():
            return folder
        if versions := _versions(folder):
            return versions[-1]
    known = {folder.name: _versions(folder) for folder in sorted(_folders(models))}
    found = [version for versions in known.values() for version in versions]
    if not found:
        raise ArtifactError(
            f"no model found: looked for {models.absolute() / '<name>' / '<version>' / MANIFEST}"
            + (f" and {Path(model).absolute() / MANIFEST}" if model else "")
            + ". Train one (textcnn train), or say where it is with --models FOLDER or --model PATH."
        )
    if model:
        names = [folder.relative_to(models).as_posix() for folder in found]
        near = difflib.get_close_matches(model, [*known, *names], 1)
        raise ArtifactError(
            f"there is no model {model!r}: no {MANIFEST} there, and {models.absolute()} has {', '.join(names)}"
            + (f". Did you mean {near[0]!r}?" if near else "")
        )
    return next(versions[-1] for versions in known.values() if versions)


def _folders(folder: Path) -> list[Path]:
    """Folders in `folder`, but not hidden ones: a model that is just being written is one."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _versions(folder: Path) -> list[Path]:
    """Complete versions below `folder`, lowest first."""
    complete = (entry for entry in _folders(folder) if (entry / MANIFEST).is_file())
    return sorted(complete, key=lambda entry: _numerically(entry.name))


def _numerically(version: str) -> list[str | int]:
    """Sort key that puts 10 after 9. Words and numbers alternate, so only like is compared with like."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", version)]
