"""Every error that textcnn raises for a reason its user can act on.

TextCNNError
├── ConfigError           a setting is wrong; lists every fault at once
├── DataError             an input file or its content cannot be used
│   ├── ReadError         the file itself: missing, a directory, no permission, empty, undecodable
│   ├── ColumnError       a column that was asked for, or is needed, is not there
│   ├── BadRowsError      rows that cannot be used, with their numbers and reasons
│   └── LabelError        the labels do not make a classification task
├── VectorsError          word vectors cannot be read or do not fit
├── ArtifactError         a model folder is incomplete, damaged or unknown
│   └── SchemaVersionError  written by a newer textcnn
├── EngineError           no engine can run this model as asked
├── NotFittedError        a classifier was asked before it was trained or loaded
├── DivergedError         the loss of a training run left all bounds
├── CheckpointError       a training run cannot be resumed
└── MissingExtraError     an optional part is not installed; names the pip command

The command line prints the message and exits with 2; anything outside this tree is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# what pip installs, where it is imported by another name
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


class TextCNNError(Exception):
    """Base of all errors that a user can act on."""


class ConfigError(TextCNNError):
    """One or several settings are wrong. `faults` holds one line each."""

    def __init__(self, faults: Sequence[str] | str) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        count = len(self.faults)
        head = "1 fault in the configuration" if count == 1 else f"{count} faults in the configuration"
        super().__init__(head + ":\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class DataError(TextCNNError):
    """An input file or its content cannot be used."""


class ReadError(DataError):
    """The file cannot be read at all."""


class ColumnError(DataError):
    """A needed column is not in the file."""


class BadRowsError(DataError):
    """Rows that cannot be used. `total` counts them all; `shown` holds the first (row number, reason)."""

    def __init__(self, message: str, *, shown: Sequence[tuple[int, str]], total: int) -> None:
        self.shown = tuple(shown)
        self.total = total
        super().__init__(message)


class LabelError(DataError):
    """The labels do not make a classification task."""


class VectorsError(TextCNNError):
    """Word vectors cannot be read or do not fit the network."""


class ArtifactError(TextCNNError):
    """A model folder is incomplete, damaged or not one of ours."""


class SchemaVersionError(ArtifactError):
    """The model folder was written by a newer textcnn."""


class EngineError(TextCNNError):
    """No engine can run this model as asked."""


class NotFittedError(TextCNNError, AttributeError, ValueError):
    """A classifier without weights was asked; also what scikit-learn and hasattr() expect of such a one."""


class DivergedError(TextCNNError):
    """The loss of a training run is not finite, or so large that nothing can come of it."""


class CheckpointError(TextCNNError):
    """A training run cannot be resumed from what is on disk."""


class MissingExtraError(TextCNNError):
    """An optional part of textcnn is not installed: `package`, as it is imported, which `what` needs."""

    def __init__(self, what: str, *, package: str, extra: str) -> None:
        name = DISTRIBUTIONS.get(package, package)
        super().__init__(
            f"{what} needs {name}, which is not installed. Install it with: pip install 'textcnn[{extra}]'"
        )


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Around the imports that `what` needs: a package that is not there becomes a MissingExtraError.

    A module of ours that is missing stays what it is, a bug.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "textcnn"):
            raise
        raise MissingExtraError(what, package=package, extra=extra) from None
