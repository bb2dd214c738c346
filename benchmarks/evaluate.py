"""Whether probabilities hold, label sets cover as stated, strange texts are told apart, and wrong labels are found.

Not timed but for the data doctor. Models are trained with the defaults; temperature and all else are fitted on
validation texts, figures are of test texts. What limits it: the calibration error has a part that chance makes with
finitely many texts, given beside it; temperature cannot mend what the network gets wrong with confidence in one class.
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import machine
from benchmarks.data import NETWORK, read_csv
from benchmarks.machine import say
from textcnn import TextClassifier
from textcnn.calibration.calibration import Calibration, unknown_share
from textcnn.calibration.fit import Validation, fit_calibration
from textcnn.data.labels import LabelSet
from textcnn.data.readers import ReadOptions, read_examples
from textcnn.data.split import cross_validation_folds
from textcnn.doctor.check import check
from textcnn.doctor.learned import doubts_of
from textcnn.doctor.table import Table
from textcnn.evaluation.reliability import reliability_figures
from textcnn.types import Floats

SPLITS = 20
AGNEWS = ("train_partial.csv.gz", "test.csv.gz")
COVERAGES = (0.8, 0.9, 0.95)
Labelled = tuple[list[str], list[str]]
LIMITS = {
    "ece_mr": "10 folds of 1,066 texts together, each with the temperature of its own validation tenth",
    "ece_agnews": "7,600 test texts, temperature from 3,744 validation texts",
    "coverage_gap": "label sets fitted on half of the AG News test texts, counted on the other half, 20 random halves",
    "mislabelled_precision": "TREC's own labels are wrong here and there, and count as mistakes of the doctor",
    "doctor_s": "the process from its start, on an idle machine: two linear models on five folds, MinHash, tokenizing",
    "out_of_scope_auroc": "CLINC150: 4,500 test texts of 150 intents, 1,000 out of scope, none of them seen before",
}


def run(*, data: Path, quick: bool = False, folds: int = 10) -> dict[str, Any]:
    about = machine.describe()
    epochs = 2 if quick else 20
    return {
        **movie_reviews(data, folds=min(folds, 2 if quick else 10), epochs=epochs),
        **news(data, epochs=epochs),
        **out_of_scope(data, epochs=epochs),
        **wrong_labels(data, draws=1 if quick else 10),
        **doctor(data, rows=10_000 if quick else 100_000),
        "limits": LIMITS,
        "machine": about,
    }


def movie_reviews(data: Path, *, folds: int, epochs: int) -> dict[str, Any]:
    """ECE of all folds together, before and after."""
    if not folds:
        return {}
    texts, labels = read_csv(data / "mr" / "all.csv")
    parts = cross_validation_folds(labels, texts, folds=10, seed=1)[:folds]
    plain, calibrated, targets = [], [], []
    for number, test in enumerate(parts, start=1):
        say(f"MR, fold {number} of {folds} ...")
        train = np.setdiff1d(np.arange(len(texts)), test)
        model = trained(pick((texts, labels), train), epochs=epochs)
        asked = validation(model, pick((texts, labels), test))
        plain.append(Calibration().probabilities(asked.logits))
        calibrated.append(model.artifact_.calibration.probabilities(asked.logits))
        targets.append(asked.targets)
    truth = np.concatenate(targets)
    before, after = (reliability_figures(np.concatenate(rows), truth) for rows in (plain, calibrated))
    return {"ece_mr": after["ece"], "mr": {"folds": folds, "texts": len(truth), "before": before, "after": after}}


def news(data: Path, *, epochs: int) -> dict[str, Any]:
    """ECE on the test texts, before and after; coverage of label sets over random halves of them."""
    say("AG News ...")
    model = trained(read(data / "agnews" / AGNEWS[0]), epochs=epochs)
    test = validation(model, read(data / "agnews" / AGNEWS[1]))
    before = reliability_figures(Calibration().probabilities(test.logits), test.targets)
    after = reliability_figures(model.artifact_.calibration.probabilities(test.logits), test.targets)
    covered = {f"{coverage:.2f}": coverages(test, coverage) for coverage in COVERAGES}
    gaps = [abs(found["covered"] - float(coverage)) for coverage, found in covered.items()]
    return {
        "ece_agnews": after["ece"],
        "agnews": {"before": before, "after": after, "temperature": model.artifact_.calibration.temperature},
        "coverage_gap": max(gaps),
        "coverage": covered,
    }


def coverages(test: Validation, coverage: float) -> dict[str, float]:
    """Over random halves: the mean share covered, its spread, and the mean number of labels in a set."""
    shares, sizes = [], []
    for seed in range(SPLITS):
        first, second = np.array_split(np.random.default_rng(seed).permutation(len(test)), 2)
        calibration = fit_calibration(test.take(first))
        other = test.take(second)
        inside = calibration.label_sets(calibration.probabilities(other.logits), coverage=coverage)
        shares.append(inside[np.arange(len(other)), other.targets].mean())
        sizes.append(inside.sum(axis=1).mean())
    return {"covered": float(np.mean(shares)), "spread": float(np.std(shares)), "labels": float(np.mean(sizes))}


def out_of_scope(data: Path, *, epochs: int) -> dict[str, Any]:
    """How well familiarity tells CLINC150's out-of-scope texts from the others, beside other scores."""
    say("CLINC150 ...")
    home = data / "clinc150"
    model = trained(read(home / "train.csv"), epochs=epochs, held_out=read(home / "val.csv"))
    known, strange = read(home / "test.csv"), read(home / "oos_test.csv")
    familiar = [model.familiarity(texts) for texts, _ in (known, strange)]
    logits = [model_logits(model, texts) for texts, _ in (known, strange)]
    probabilities = [model.predict_proba(texts) for texts, _ in (known, strange)]
    scores = {
        "familiarity": familiar,
        "probability": [rows.max(axis=1) for rows in probabilities],
        "largest_logit": [rows.max(axis=1) for rows in logits],
        "energy": [np.log(np.exp(rows.astype(np.float64)).sum(axis=1)) for rows in logits],
        "known_words": [1 - unknown(model, texts) for texts, _ in (known, strange)],
    }
    is_strange = np.repeat([0, 1], [len(known[0]), len(strange[0])])
    figures = {
        name: {
            "auroc": float(roc_auc_score(is_strange, -np.concatenate(rows))),
            "average_precision": float(average_precision_score(is_strange, -np.concatenate(rows))),
        }
        for name, rows in scores.items()
    }
    return {
        "out_of_scope_auroc": figures["familiarity"]["auroc"],
        "out_of_scope": {
            **figures,
            "found_below_0.05": float((familiar[1] < 0.05).mean()),
            "false_alarms_below_0.05": float((familiar[0] < 0.05).mean()),
            "accuracy": model.score(*known),
        },
    }


def wrong_labels(data: Path, *, draws: int) -> dict[str, Any]:
    """5 % of TREC's training labels flipped: their share among as many rows, those that the doctor doubts most."""
    say("flipped labels ...")
    texts, labels = read(data / "trec" / "train.csv")
    names = sorted(set(labels))
    named, right, first, at_flipped = [], [], [], []
    for seed in range(draws):
        random = np.random.default_rng(seed)
        flipped = random.choice(len(labels), round(0.05 * len(labels)), replace=False)
        given = list(labels)
        for row in flipped.tolist():
            given[row] = random.choice([name for name in names if name != labels[row]])
        table, targets = Table(texts, given, np.arange(len(texts))), LabelSet.from_labels(given).encode(given)
        doubts = doubts_of(table, targets, lambda share: None)
        ranked = np.isin(np.argsort(-doubts.ratio, kind="stable"), flipped)
        named.append(doubts.named.sum())
        right.append(np.isin(np.flatnonzero(doubts.named), flipped).mean())
        first.append(ranked[:100].mean())
        at_flipped.append(ranked[: len(flipped)].mean())
    return {
        "mislabelled_precision": float(np.mean(at_flipped)),
        "mislabelled": {
            "draws": draws,
            "standard_error": float(np.std(at_flipped, ddof=1) / draws**0.5) if draws > 1 else None,
            "flipped": round(0.05 * len(labels)),
            "named": float(np.mean(named)),
            "precision_of_named": float(np.mean(right)),
            "found_of_flipped": float(np.mean(np.multiply(named, right))) / round(0.05 * len(labels)),
            "precision_of_first_100": float(np.mean(first)),
        },
    }


def doctor(data: Path, *, rows: int) -> dict[str, Any]:
    """Seconds of `textcnn check` on AG News with parts of its texts behind it; leaks that are known to be there."""
    say("the data doctor ...")
    texts, labels = (a + b for a, b in zip(*(read(data / "agnews" / name) for name in AGNEWS), strict=True))
    words = [text.split() for text in texts]
    texts = [*texts, *(" ".join(text[: len(text) // 2]) for text in words), *(" ".join(text[3:]) for text in words)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("text", "label"), *zip(texts[:rows], (labels * 3)[:rows], strict=True)])
        started, spent = time.perf_counter(), _children_seconds()
        command = [sys.executable, "-m", "textcnn.cli.main", "check", str(path)]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        seconds, processor = time.perf_counter() - started, _children_seconds() - spent
        if done.returncode != 1:  # 1: problems were found
            done.check_returncode()
    trec = check(data / "trec" / "train.csv", ReadOptions(), test=data / "trec" / "test.csv")
    mpqa = check(data / "mpqa" / "all.csv", ReadOptions())
    return {
        "doctor_s": seconds,
        "doctor_processor_s": processor,
        "doctor_rows": rows,
        "leaks": {
            "trec": next(found.figures for found in trec.findings if found.kind == "leaks_into_test"),
            "mpqa": next(found.figures for found in mpqa.findings if found.kind == "leaks_between_folds"),
        },
    }


def _children_seconds() -> float:
    """Processor time of the processes that have ended: what a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def trained(data: Labelled, *, epochs: int, held_out: Labelled | None = None) -> TextClassifier:
    return TextClassifier({"train": {"max_epochs": epochs}}, preset=NETWORK).fit(*data, validation=held_out)


def validation(model: TextClassifier, data: Labelled) -> Validation:
    """Test texts as the fitting code has its validation texts."""
    texts, labels = data
    return Validation(model_logits(model, texts), model.artifact_.labels.encode(labels), unknown(model, texts))


def model_logits(model: TextClassifier, texts: Sequence[str]) -> Floats:
    return model._fitted().logits(texts)


def unknown(model: TextClassifier, texts: Sequence[str]) -> Floats:
    batch = model.artifact_.tokenizer.encode(texts)
    return unknown_share(batch.unknown, batch.offsets)


def read(path: Path) -> Labelled:
    examples = read_examples(path)
    return examples.texts, examples.labels


def pick(data: Labelled, rows: npt.NDArray[np.int64]) -> Labelled:
    return [data[0][row] for row in rows], [data[1][row] for row in rows]
