"""What is kept of a run: runs/<name>/<version>/run.json, written as it begins and as it ends.

`textcnn train` does it by itself; from Python, `recorded` is put around whatever trains.

A run that was killed keeps what it wrote when it began.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from textcnn.artifact import Artifact
from textcnn.config import RunConfig
from textcnn.errors import ArtifactError
from textcnn.files import replacing

RECORD = "run.json"
# what decides the figures of a run beside its settings
PACKAGES = ("textcnn", "torch", "numpy", "scikit-learn", "tokenizers")
_PIECE = 1 << 20


class Trained(Protocol):
    """See textcnn.classifier.TextClassifier."""

    @property
    def metrics_(self) -> Mapping[str, Any]: ...

    @property
    def artifact_(self) -> Artifact: ...


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process trains in `folder`, which is there, meanwhile. Raises ArtifactError where one does already."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows has none
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go when the process ends, however
        except BlockingIOError:
            raise ArtifactError(
                f"another training is under way in {folder}; wait for its end, or choose another --output"
            ) from None
        yield
    finally:
        os.close(held)


class RunRecord:
    """One run, as a JSON object on disk. Raises OSError where it cannot be written."""

    def __init__(
        self,
        folder: Path,
        *,
        config: RunConfig | Mapping[str, Any] | None,
        files: Mapping[str, Path | None],
        data: Mapping[str, Any],
    ) -> None:
        self._path = folder / RECORD
        self._started = time.perf_counter()
        self._values: dict[str, Any] = {
            "name": f"{folder.parent.name}/{folder.name}",
            "status": "unfinished",
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "command": sys.argv[1:],
            "files": {purpose: file_facts(path) for purpose, path in files.items() if path},
            **({"data": {purpose: data_facts(values) for purpose, values in data.items()}} if data else {}),
            "config": config.model_dump(mode="json") if isinstance(config, RunConfig) else dict(config or {}),
            "environment": environment(),
            "git": git_revision(),
        }
        self._write()

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file by what it is for."""
        return {purpose: facts["sha256"] for purpose, facts in self._values["files"].items()}

    def end(self, status: str, **facts: Any) -> None:
        """Note how it ended: "done", "interrupted" or "failed", and what came out."""
        seconds = round(time.perf_counter() - self._started, 3)
        self._values |= {"status": status, "seconds": seconds, **facts}
        self._write()

    def end_with(self, model: Trained, /, **facts: Any) -> None:
        """Note that `model` (a fitted TextClassifier) came out: its settings, complete, and its figures."""
        status = "interrupted" if model.metrics_["interrupted"] else "done"
        config, metrics = model.artifact_.config.model_dump(mode="json"), dict(model.metrics_)
        self.end(status, config=config, metrics=metrics, **facts)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as file:
            file.write_text(json.dumps(self._values, ensure_ascii=False, indent=2) + "\n", "utf-8")


@contextmanager
def recorded(
    folder: str | Path,
    *,
    config: RunConfig | Mapping[str, Any] | None,
    files: Mapping[str, Path | None] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Iterator[RunRecord]:
    """A record of what happens inside: what raises has failed, with the message as `error`, or was interrupted.

    `folder` is <runs>/<name>/<version>. `files` are tables by what they are for: data, validation, test; `data` are
    texts and labels that are in memory, likewise: (texts, labels), or anything that JSON can hold. Whoever trains says
    what came out by `end_with` or `end`. Raises OSError where the record cannot be written.
    """
    record = RunRecord(Path(folder).absolute(), config=config, files=files or {}, data=data or {})
    try:
        yield record
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(OSError):  # the failure itself says more
            record.end(status, error=str(error) or type(error).__name__)
        raise


def file_facts(path: Path) -> dict[str, Any]:
    """Where a file is, its size and SHA-256: whether two runs had the same data."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def data_facts(values: Any) -> dict[str, str]:
    """SHA-256 of data in memory: whether two runs had the same."""
    written = json.dumps(values, ensure_ascii=True, sort_keys=True).encode()
    return {"sha256": hashlib.sha256(written).hexdigest()}


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def git_revision() -> dict[str, Any] | None:
    """The commit of the folder that the command runs in, and whether files differ from it; None outside of git."""
    try:
        revision = _git("rev-parse", "HEAD")
        return {"revision": revision, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


class _File(BaseModel):
    """What is read again of the facts of a file."""

    path: str
    sha256: str


class _Data(BaseModel):
    sha256: str


class _Git(BaseModel):
    revision: str


class _Environment(BaseModel):
    packages: dict[str, str] = {}


class _Record(BaseModel):
    """What is read again of a record; it may hold more."""

    name: str
    status: str
    started: str
    config: dict[str, Any]
    files: dict[str, _File]
    data: dict[str, _Data] = {}
    environment: _Environment = _Environment()
    git: _Git | None = None
    seconds: float | None = None
    metrics: dict[str, Any] = {}


def read_records(home: Path, *, doubt: Callable[[str], None] = lambda sentence: None) -> list[dict[str, Any]]:
    """Every run below a folder, the oldest first, by the name of its folder; `doubt` is told what is no record."""
    found = []
    for path in sorted(home.glob(f"*/*/{RECORD}")):
        try:
            read = path.read_bytes()
            _Record.model_validate_json(read)
        except OSError as error:
            doubt(f"{path} cannot be read: {error.strerror or error}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            doubt(f"{path} is no record of a run: {where + ': ' if where else ''}{first['msg']}")
        else:
            found.append({**json.loads(read), "name": f"{path.parent.parent.name}/{path.parent.name}"})
    return sorted(found, key=lambda record: str(record["started"]))
