"""Where the models are: models/<name>/<version>/, the highest version of each unless another is asked for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textcnn import model_versions
from textcnn.errors import ArtifactError


class Found(NamedTuple):
    """The folder of each model; the one that answers what names none, or ""; those whose version was named."""

    paths: dict[str, Path]
    default: str
    fixed: frozenset[str]


def find_served(models: Path, asked: str, default: str) -> Found:
    """What `--models`, `--model` and `--default-model` say. Raises ArtifactError."""
    names = [name.strip() for name in asked.split(",") if name.strip()]
    paths = find_models(models, names)
    if default and default not in paths:
        raise ArtifactError(f"--default-model {default!r} is none of those served: {', '.join(paths)}")
    fixed = frozenset(name for name, text in zip(paths, names, strict=False) if text != name)
    return Found(paths, default or (next(iter(paths)) if names or len(paths) == 1 else ""), fixed)


def find_models(models: Path, asked: Sequence[str] = ()) -> dict[str, Path]:
    """The folder of each model by its name: of those asked for (a name, name/version or a path), else of all there are.

    Raises ArtifactError.
    """
    try:
        if not asked:
            return _all(models)
        found: dict[str, Path] = {}
        for model in asked:
            path = _find(models, model)
            if path.parent.name in found:
                raise ArtifactError(
                    f"two versions of model {path.parent.name!r} are asked for, {found[path.parent.name].absolute()} "
                    f"and {path.absolute()}; ask for its name, and let others answer beside it by the admin port"
                )
            found[path.parent.name] = path
        return found
    except OSError as error:
        raise ArtifactError(f"cannot look for models: {error.filename}: {error.strerror}") from None


def _all(models: Path) -> dict[str, Path]:
    found = {folder.name: versions[-1] for folder in _folders(models) if (versions := model_versions(folder))}
    if not found:
        raise _nothing(models)
    return found


def _find(models: Path, model: str) -> Path:
    for folder in (models / model, Path(model)):
        if versions := model_versions(folder):
            return Path(os.path.abspath(versions[-1]))  # "." has neither name nor version; links keep theirs
    known = {folder.name: model_versions(folder) for folder in _folders(models)}
    names = [version.relative_to(models).as_posix() for versions in known.values() for version in versions]
    if not names:
        raise _nothing(models, f" and {Path(model).absolute()}")
    near = difflib.get_close_matches(model, [*known, *names], 1)
    raise ArtifactError(
        f"there is no complete model {model!r}; {models.absolute()} has {', '.join(names)}"
        + (f". Did you mean {near[0]!r}?" if near else "")
    )


def _nothing(models: Path, elsewhere: str = "") -> ArtifactError:
    return ArtifactError(
        f"no model found: looked for models in {models.absolute() / '<name>' / '<version>'}{elsewhere}"
        ". Train one (textcnn train), or say where it is with --models FOLDER or --model PATH."
    )


def list_versions(models: Path) -> dict[str, list[str]]:
    """The complete versions of every model in the folder, lowest first. Raises OSError."""
    return {folder.name: [version.name for version in model_versions(folder)] for folder in _folders(models)}


def _folders(folder: Path) -> list[Path]:
    """Folders in `folder`, but not hidden ones: something that is just being written is one."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(entry for entry in entries if entry.is_dir() and not entry.name.startswith("."))
