"""An epoch beside that of reference.py on the same texts and threads; accuracy; large vocabularies; whole jobs.

What limits it. Ours multiplies each distinct word of a batch by the filters once and lets gradient through to winning
windows only, so what is left is that product, the rows that change, and the bookkeeping of small tensors. The reference
spends most of its time in convolutions over padding and in an optimizer that visits every word at every step.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import machine, reference
from benchmarks.data import read_csv
from benchmarks.machine import resident_mb, say, timed
from textcnn.build import build_network, resolve
from textcnn.config import RunConfig, TextConfig
from textcnn.data.labels import LabelSet
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.text.tokenizers import Tokenizer
from textcnn.train.loop import Examples, TrainingResult, fit_network, score
from textcnn.train.progress import Progress
from textcnn.types import TokenBatch

THREADS = 2
FOLDS = 10
ADADELTA = {"optimizer": "adadelta", "learning_rate": 1.0}
REFERENCE_EPOCHS, PATIENCE = 25, 4
LIMITS = {
    "epoch_over_reference": "the product of distinct words and filters, rows that change, bookkeeping of small tensors",
    "accuracy_delta_points": "ours minus the reference's, mean over the same folds, both stopped early on the same "
    "tenth of the training rows; one run a fold",
    "step_400k_over_20k": "caches and page tables: rows lie anywhere in 480 MB, and in twice that of moments",
    "mr_job_s": "importing torch, then the epochs until early stopping",
}


def run(*, data: Path, quick: bool = False, folds: int = FOLDS) -> dict[str, Any]:
    about = machine.describe()
    torch.set_num_threads(THREADS)
    texts, labels = read_csv(data / "mr" / "all.csv")
    folds = min(folds, 2 if quick else FOLDS)
    return {
        **epochs(texts, labels, rounds=1 if quick else 5, share=0.1 if quick else 0.9),
        **steps(texts, labels, rounds=1 if quick else 5, share=0.2 if quick else 0.9),
        **jobs(data, rounds=1 if quick else 3),
        **accuracies(texts, labels, folds=folds, max_epochs=2 if quick else REFERENCE_EPOCHS),
        "limits": LIMITS,
        "machine": {**about, "threads": THREADS, "torch": torch.__version__},
    }


def epochs(texts: Sequence[str], labels: Sequence[str], *, rounds: int, share: float) -> dict[str, Any]:
    """Seconds of an epoch, in turn: the reference's, ours with its default (Adam), ours with the same Adadelta."""
    say("epochs ...")
    tokenizer, examples = encode(texts, labels)
    examples = part(examples, np.random.default_rng(1).permutation(len(texts))[: int(share * len(texts))])
    ids, targets = reference.rectangle(examples.texts), torch.from_numpy(examples.targets)
    network = reference.SentenceCnn(len(tokenizer), 2)
    optimizer = reference.adadelta(network)
    reference.train_epoch(network, optimizer, ids[:500], targets[:500])  # warm
    seconds: dict[str, list[float]] = {"reference": [], "ours": [], "ours_adadelta": []}
    settings: dict[str, dict[str, Any]] = {"ours": {}, "ours_adadelta": ADADELTA}
    for _ in range(rounds):
        seconds["reference"].append(timed(lambda: reference.train_epoch(network, optimizer, ids, targets)))
        for name, train in settings.items():
            result, _ = fit({**train, "max_epochs": 2, "patience": 0}, examples, vocabulary=len(tokenizer))
            seconds[name] += [record["seconds"] for record in result.history]
    _, memory = fit({"max_epochs": 8, "patience": 0}, examples, vocabulary=len(tokenizer))
    half = len(memory) // 2
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "epoch_over_reference": median["reference"] / median["ours"],
        "epoch_over_reference_with_adadelta": median["reference"] / median["ours_adadelta"],
        "epoch_s": median,
        "epoch_texts": len(examples.texts),
        # the weights of the best epoch come and go, so the most of each half is compared
        "memory_growth_mb": max(memory[half:]) - max(memory[:half]),
        "memory_after_epochs_mb": [round(figure) for figure in memory],
    }


def steps(texts: Sequence[str], labels: Sequence[str], *, rounds: int, share: float) -> dict[str, Any]:
    """The same batches with an embedding of 20,000 and of 400,000 words.

    `scattered` spreads the words of the texts all over the larger one; `in_order` leaves them in front, which is where
    textcnn's vocabulary has the words of the training texts. The worse of both counts.
    """
    say("steps with 20,000 and 400,000 words ...")
    small, large = 20_000, 400_000
    tokenizer, examples = encode(texts, labels)
    examples = part(examples, np.arange(int(share * len(texts))))
    anywhere = np.random.default_rng(1).permutation(np.arange(2, large))[:small].astype(np.int32)
    values = examples.texts.values % small
    scattered = Examples(TokenBatch(anywhere[values], examples.texts.offsets), examples.targets)
    in_order = Examples(TokenBatch(values, examples.texts.offsets), examples.targets)
    cases = {"20k": (small, in_order), "400k_scattered": (large, scattered), "400k_in_order": (large, in_order)}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (vocabulary, given) in cases.items():
            result, _ = fit({"max_epochs": 3, "patience": 0}, given, vocabulary=vocabulary)
            # the first epoch makes the optimizer's state
            seconds[name] += [record["seconds"] for record in result.history[1:]]
    count = -(-len(examples.texts) // resolve({}).train.batch_size)
    median = {name: statistics.median(values) / count for name, values in seconds.items()}
    return {
        "step_400k_over_20k": max(median["400k_scattered"], median["400k_in_order"]) / median["20k"],
        "step_ms": {name: 1000 * value for name, value in median.items()},
    }


def accuracies(texts: Sequence[str], labels: Sequence[str], *, folds: int, max_epochs: int) -> dict[str, Any]:
    """Both on the same folds, ids and development rows; each with its own optimizer and early stopping.

    Folds as the paper's: a random number 0..9 a sentence. The vocabulary is that of the training rows.
    """
    if not folds:
        return {"accuracy_delta_points": None, "accuracy_standard_error": None, "folds": 0}
    names = LabelSet.from_labels(labels)
    targets = names.encode(labels)
    random = np.random.default_rng(1)
    fold_of = random.integers(0, FOLDS, len(texts))
    rows: list[dict[str, float]] = []
    for fold in range(folds):
        say(f"accuracy, fold {fold + 1} of {folds} ...")
        inside = random.permutation(np.flatnonzero(fold_of != fold))
        dev, train = np.split(inside, [len(inside) // 10])
        test = np.flatnonzero(fold_of == fold)
        tokenizer = Tokenizer.learn([texts[row] for row in train], TextConfig())
        everything = Examples(tokenizer.encode(texts), targets)
        parts = [part(everything, chosen) for chosen in (train, dev, test)]
        torch.manual_seed(fold)
        network, config = build(len(tokenizer), {"max_epochs": min(20, max_epochs)})
        result = fit_network(network, parts[0], parts[1], config.train, progress=Progress(quiet=True))
        torch.manual_seed(fold)
        theirs, trained = reference.test_accuracy(
            [(p.texts, p.targets) for p in parts],
            vocabulary=len(tokenizer), classes=len(names.names), max_epochs=max_epochs, patience=PATIENCE,
        )  # fmt: skip
        rows.append(
            {
                "ours": 100 * score(network, parts[2], Distinct(len(tokenizer)))["accuracy"],
                "reference": 100 * theirs,
                "ours_epochs": len(result.history),
                "reference_epochs": trained,
            }
        )
        say("  " + ", ".join(f"{key} {value:.1f}" for key, value in rows[-1].items()))
    deltas = [row["ours"] - row["reference"] for row in rows]
    return {
        "accuracy_delta_points": statistics.mean(deltas),
        "accuracy_standard_error": statistics.stdev(deltas) / len(deltas) ** 0.5 if len(deltas) > 1 else None,
        "accuracy": {key: statistics.mean(row[key] for row in rows) for key in rows[0]},
        "accuracy_by_fold": {key: [round(row[key], 2) for row in rows] for key in ("ours", "reference")},
        "folds": folds,
    }


def jobs(data: Path, *, rounds: int) -> dict[str, Any]:
    """Whole commands with their defaults, from start to artefact, on all cores."""
    say("whole jobs ...")
    commands = {
        "trec": [str(data / "trec" / "train.csv"), "--test", str(data / "trec" / "test.csv")],
        "mr": [str(data / "mr" / "all.csv"), "data.test_fraction=0.1"],
    }
    result: dict[str, Any] = {}
    for name, arguments in commands.items():
        seconds = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="textcnn-") as folder:
                output = Path(folder) / "models" / name / "1"
                command = [
                    sys.executable,
                    "-m",
                    "textcnn.cli.main",
                    "train",
                    *arguments,
                    "--quiet",
                    "--output",
                    str(output),
                ]
                started = time.perf_counter()
                # there, because it leaves runs/ where it is started
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - started)
                metrics = json.loads((output / "metrics.json").read_text())
        result[f"{name}_job_s"] = statistics.median(seconds)
        result[f"{name}_job"] = {
            "test_accuracy": metrics["test"]["accuracy"],
            "epochs": len(metrics["history"]),
            "of_it_training_s": metrics["training_seconds"],
        }
    return result


def encode(texts: Sequence[str], labels: Sequence[str]) -> tuple[Tokenizer, Examples]:
    tokenizer = Tokenizer.learn(texts, TextConfig())
    return tokenizer, Examples(tokenizer.encode(texts), LabelSet.from_labels(labels).encode(labels))


def part(examples: Examples, rows: npt.NDArray[np.int64]) -> Examples:
    return Examples(examples.texts.take(rows), examples.targets[rows])


def build(vocabulary: int, train: Mapping[str, Any]) -> tuple[Network, RunConfig]:
    """The default network for two classes, and the configuration with these training settings."""
    config = resolve({"train": train})
    return build_network(config, vocabulary=vocabulary, num_classes=2), config


def fit(train: Mapping[str, Any], examples: Examples, *, vocabulary: int) -> tuple[TrainingResult, list[float]]:
    """Train a new network; what happened, and resident MB after every epoch."""
    watch = Watch()
    network, config = build(vocabulary, train)
    return fit_network(network, examples, None, config.train, progress=watch), watch.memory


class Watch(Progress):
    """Says nothing and notes the memory after every epoch."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.memory: list[float] = []

    def epoch(self, record: dict[str, Any], *, best: bool) -> None:
        super().epoch(record, best=best)
        self.memory.append(resident_mb())
