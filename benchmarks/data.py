"""The data sets beside the project, and models trained on them once and kept in runs/benchmarks."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import say

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "runs" / "benchmarks"
NETWORK = "kim_rand"  # what is measured where nothing else is said; n-grams beside it have a benchmark of their own


class DataMissingError(Exception):
    """The data sets are not where they were looked for; the message says what to do."""


def find_data(given: Path | None = None) -> Path:
    """The folder with mr/, trec/ ...: as given, else $TEXTCNN_DATA, else ../shared/data. Raises DataMissingError."""
    variable = os.environ.get("TEXTCNN_DATA")
    folder = given or (Path(variable) if variable else ROOT.parent / "shared" / "data")
    if not (folder / "mr" / "all.csv").is_file():
        raise DataMissingError(
            f"no data sets in {folder}: expected mr/all.csv (header text,label). "
            "Say where they are with --data FOLDER or TEXTCNN_DATA"
        )
    return folder.resolve()


def read_csv(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels, of a table that may be compressed (.gz)."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def mr_model(data: Path, *, epochs: int, preset: str = NETWORK, overrides: Sequence[str] = ()) -> Path:
    """A model trained for a few epochs on MR: the paper's network, 300-d, widths 3, 4, 5 x 100."""
    settings = [f"train.max_epochs={epochs}", *overrides]
    return _trained(data / "mr" / "all.csv", f"mr-{preset}", "--preset", preset, *settings)


def imdb_model(data: Path, *, epochs: int) -> Path:
    """The same network trained for a few epochs on IMDb's 25,000 training reviews."""
    return _trained(data / "imdb" / "train.csv.gz", "imdb", "--preset", NETWORK, f"train.max_epochs={epochs}")


def demo_model() -> Path:
    """A model that the service serves by itself, from models/; without one, a model trained on the example data."""
    from service.find_model import find_models
    from textcnn import TextCNNError

    try:
        return next(iter(find_models(ROOT / "models").values()))
    except TextCNNError:
        return _trained(ROOT / "examples" / "support.csv", "demo")


def _trained(table: Path, name: str, *overrides: str) -> Path:
    """Trained anew whenever the code, the data or the settings differ from those of the model that is kept."""
    key = hashlib.sha256(repr((table.read_bytes(), overrides)).encode())
    for path in sorted(p for p in (ROOT / "textcnn").rglob("*") if p.suffix in (".py", ".c", ".h")):
        key.update(path.read_bytes())
    folder = SCRATCH / name / key.hexdigest()[:12] / "1"
    if not (folder / "manifest.json").is_file():
        say(f"training a model on {table} ...")
        SCRATCH.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "textcnn.cli.main", "train", str(table), "--output", str(folder), "--quiet"]
        # in its own process: whatever the benchmark pins or limits stays out of training
        subprocess.run([*command, *overrides], cwd=SCRATCH, check=True, stdout=subprocess.DEVNULL)
    return folder
