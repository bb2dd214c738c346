"""Which versions answer: serving.json beside the models, replaced atomically, so every process agrees on it.

{"support": {"aliases": {"live": "3", "previous": "2"}, "weights": {"3": 90, "4": 10}, "shadow": "5"}}
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from service.files import WITHOUT_WAITING, read_file
from textcnn.errors import ArtifactError

FILE = "serving.json"
LOCK = f".{FILE}.lock"
LOCK_SECONDS = 0.02  # between tries to get the lock
LIVE, PREVIOUS = "live", "previous"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # of models, versions and aliases: never a path

Name = Annotated[str, StringConstraints(pattern=NAME)]


def is_name(text: str) -> bool:
    return re.fullmatch(NAME, text) is not None


class ModelPlan(BaseModel):
    """`live` answers what names no version, unless `weights` share it out; `shadow` answers as well, unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aliases: dict[Name, Name] = Field(default_factory=dict, description="alias: version; `live` is the one in use")
    weights: dict[Name, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=dict, description="version: weight; empty: all to `live`"
    )
    shadow: Name | None = Field(None, description="a version that answers the same texts for the metrics alone")

    @property
    def versions(self) -> list[str]:
        """Every version that has to be loaded."""
        wanted = [*self.aliases.values(), *self.weights, *([self.shadow] if self.shadow else [])]
        return list(dict.fromkeys(wanted))

    def only(self, versions: Iterable[str]) -> ModelPlan:
        """Without all that names another version."""
        there = frozenset(versions)
        weights = {version: weight for version, weight in self.weights.items() if version in there}
        return ModelPlan(
            aliases={alias: version for alias, version in self.aliases.items() if version in there},
            weights=weights if any(weights.values()) else {},
            shadow=self.shadow if self.shadow in there else None,
        )

    def activated(self, version: str) -> ModelPlan:
        """With `version` live, and what was live kept at hand."""
        live = self.aliases.get(LIVE)
        if live == version:
            return self
        kept = {PREVIOUS: live} if live else {}
        return self.model_copy(update={"aliases": {**self.aliases, LIVE: version, **kept}, "weights": {}})


Plans = dict[str, ModelPlan]
_FORM: TypeAdapter[Plans] = TypeAdapter(dict[Name, ModelPlan])


def read_plans(models: Path) -> Plans:
    """What serving.json says; nothing where there is none. Raises ArtifactError."""
    path = models / FILE
    try:
        return _FORM.validate_json(read_file(path).removeprefix(codecs.BOM_UTF8))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise ArtifactError(f"{path} cannot be used: {where}: {first['msg']}") from None


@asynccontextmanager
async def locked_plans(models: Path) -> AsyncIterator[None]:
    """Keeps other processes from changing serving.json meanwhile. Raises ArtifactError."""
    import fcntl  # Windows has none; there no plan is changed

    path = models / LOCK
    try:
        file = open(os.open(path, os.O_WRONLY | os.O_CREAT | WITHOUT_WAITING, 0o666), "wb")
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror}") from None
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_SECONDS)
        yield


def write_plans(models: Path, plans: Plans) -> None:
    """Replace serving.json in one step. Raises ArtifactError."""
    try:
        handle, beside = tempfile.mkstemp(prefix=f".{FILE}.", dir=models)
        try:
            with open(handle, "wb") as file:
                file.write(_FORM.dump_json(plans, indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.chmod(beside, 0o644)
            os.replace(beside, models / FILE)
        except OSError:
            os.unlink(beside)
            raise
    except OSError as error:
        raise ArtifactError(f"cannot write {models / FILE}: {error.strerror}") from None
