"""Where the model is: models/<name>/<version>/, the highest version unless one is asked for."""

from __future__ import annotations

import difflib
from pathlib import Path

from textcnn import model_versions
from textcnn.errors import ArtifactError


def find_model(models: Path, model: str = "") -> Path:
    """The folder of `model` (a name, name/version or a path), else of the first name. Raises ArtifactError."""
    try:
        return _find(models, model)
    except OSError as error:
        raise ArtifactError(f"cannot look for models: {error.filename}: {error.strerror}") from None


def _find(models: Path, model: str) -> Path:
    for folder in (models / model, Path(model)) if model else ():
        if versions := model_versions(folder):
            return versions[-1]
    known = {folder.name: model_versions(folder) for folder in _folders(models)}
    found = [version for versions in known.values() for version in versions]
    if not found:
        raise ArtifactError(
            f"no model found: looked for models in {models.absolute() / '<name>' / '<version>'}"
            + (f" and {Path(model).absolute()}" if model else "")
            + ". Train one (textcnn train), or say where it is with --models FOLDER or --model PATH."
        )
    if model:
        names = [folder.relative_to(models).as_posix() for folder in found]
        near = difflib.get_close_matches(model, [*known, *names], 1)
        raise ArtifactError(
            f"there is no complete model {model!r}; {models.absolute()} has {', '.join(names)}"
            + (f". Did you mean {near[0]!r}?" if near else "")
        )
    return next(versions[-1] for versions in known.values() if versions)


def list_versions(models: Path) -> dict[str, list[str]]:
    """The complete versions of every model in the folder, lowest first. Raises OSError."""
    return {folder.name: [version.name for version in model_versions(folder)] for folder in _folders(models)}


def _folders(folder: Path) -> list[Path]:
    """Folders in `folder`, but not hidden ones: something that is just being written is one."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry for entry in entries if entry.is_dir() and not entry.name.startswith("."))
