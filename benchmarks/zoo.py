"""Every preset on two data sets under one budget; depth with and without shortcuts; starts; tasks together or apart.

One part at a time (--part), and of it one row at a time (--only NAME), since all of them take an hour on two cores.

presets  each preset trained on TREC and SST-2 (sentences) with the default budget: 20 epochs, stopped early; kim_exact
         with its own 25; --seeds of them. two_towers reads pairs made of the same sets (have they the same label?),
         beside kim_rand on the joined pairs. Ends with the table of docs/MODELS.md
depth    the residual preset against the same convolutions and norms without shortcuts: validation accuracy by epoch
start    500 rows of MR: from scratch, from autoencoders on IMDb's texts (of words in their places; of which words there
         are; the same on all texts, since they need no labels), from a classifier of IMDb; 5 seeds
tasks    TREC's coarse and fine labels by one network and by two, and by one that may cost half of the two
typos    words alone, words and characters, characters alone on TREC and SST-2 as they are and misspelled; 3 seeds
scripts  the default and char_cnn on Chinese titles and Russian tweets, beside the majority class

What limits it. Texts/s are those of the engine that textcnn chooses: a preset that the tables can run is a look-up, the
others run in torch. Times of presets are of the processor, on as many threads as OMP_NUM_THREADS says (one, for figures
to compare), so that other work on the machine tells little; they are of whole trainings, so they hang on when early
stopping ends them. Texts/s are per second of the processor too.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import machine
from benchmarks.data import NETWORK, read_csv
from benchmarks.machine import say
from textcnn import TextClassifier
from textcnn.artifact import write_artifact
from textcnn.presets import preset_names, preset_settings
from textcnn.report.behaviour import misspell
from textcnn.train.pretrain import pretrain_encoder

SEEDS, TYPO_SEEDS = 5, 3
PASSES = 5  # over the test texts, for texts/s
ROWS = 500
IMDB_TEXTS, IMDB_LENGTH, IMDB_EPOCHS = 5_000, 100, 3
DEPTH_EPOCHS = 8
VECTORS = "own.imdb-agnews.300d.bin"  # beside the data sets; for the presets that start from vectors
LIMITS = {
    "presets": "accuracy: the data and few seeds, so differences of a point are chance; times: those of TREC alone",
    "start": "how far the words and the style of IMDb are those of MR",
}
JOINED = "kim_rand_joined"  # the row beside two_towers
Split = tuple[list[str], list[str]]


def run(*, data: Path, quick: bool = False, part: str = "", only: str = "", seeds: int = 3) -> dict[str, Any]:
    about = machine.describe()
    parts: dict[str, Callable[[Path, bool, str], dict[str, Any]]] = {
        "presets": partial(presets, seeds=1 if quick else seeds), "depth": depth, "start": start, "tasks": tasks,
        "typos": typos, "scripts": scripts,
    }  # fmt: skip
    chosen = {part: parts[part]} if part else parts
    result: dict[str, Any] = {name: measure(data, quick, only) for name, measure in chosen.items()}
    if "presets" in result:
        result["table"] = presets_table(result["presets"])
    return {**result, "limits": LIMITS, "machine": {**about, "threads": torch.get_num_threads()}}


def presets(data: Path, quick: bool, only: str, seeds: int) -> dict[str, Any]:
    """Rows by `preset.set`: those of `measured`, with the mean accuracy over the seeds."""
    trec, sst2 = data / "trec", data / "sst2"
    sets: dict[str, tuple[Split, Split | None, Split]] = {
        "trec": (read_csv(trec / "train.csv"), None, read_csv(trec / "test.csv")),
        "sst2": (read_csv(sst2 / "train.csv"), read_csv(sst2 / "dev.csv"), read_csv(sst2 / "test.csv")),
    }
    vectors = data.parent / "vectors" / VECTORS
    rows: dict[str, Any] = {}
    for row in [*preset_names(), JOINED]:
        preset = NETWORK if row == JOINED else row
        if only not in ("", row):
            continue
        settings = preset_settings(preset)
        wants = settings.get("model", {}).get("embedding", {}).get("mode")
        if wants and not vectors.is_file():
            say(f"{row}: left out, no {vectors}")
            continue
        for name, (train, validation, test) in sets.items():
            train = cut(train, quick)
            parts: Any = (train, validation, test)
            if row == JOINED or settings.get("text", {}).get("segments") == "columns":
                parts = tuple(split and pairs(split, joined=row == JOINED) for split in parts)
            model: Any = {"embedding": {"vectors": str(vectors)}} if wants else {}
            by_seed = [
                measured({"model": model, "train": {**budget(quick), "seed": seed}}, *parts, preset=preset)
                for seed in range(1, seeds + 1)
            ]
            scores = [found["accuracy"] for found in by_seed]
            timed = ("train_processor_s", "texts_per_s", "epochs")
            middle = {key: statistics.median(found[key] for found in by_seed) for key in timed}
            rows[f"{row}.{name}"] = {**by_seed[-1], **middle, "accuracy": round(statistics.mean(scores), 1)}
            rows[f"{row}.{name}"]["by_seed"] = scores
            say(f"{row} {name}: " + ", ".join(f"{key} {value}" for key, value in rows[f"{row}.{name}"].items()))
    return rows


def measured(config: Mapping[str, Any], train: Any, validation: Any, test: Any, *, preset: str) -> dict[str, Any]:
    started = time.process_time()
    model = TextClassifier(config, preset=preset).fit(*train, validation=validation)
    seconds = time.process_time() - started
    model.predict(test[0])  # the tables are filled
    started = time.process_time()
    for _ in range(PASSES):
        model.predict(test[0])
    rate = PASSES * len(test[0]) / (time.process_time() - started)
    weights = model.artifact_.weights
    words = sum(value.size for name, value in weights.items() if name.startswith("encoder.embedding"))
    return {
        "accuracy": round(100 * model.score(*test), 1),
        "parameters": sum(value.size for value in weights.values()) - words,
        "train_processor_s": round(seconds, 1),
        "epochs": len(model.metrics_["history"]),
        "texts_per_s": round(rate),
        "engine": model.engine_name,
    }


def pairs(split: Split, *, joined: bool) -> tuple[list[Any], list[str]]:
    """Each text beside another, of its own label or of another one with equal chance; the label says which."""
    texts, labels = split
    choose = random.Random(0)
    of: dict[str, list[str]] = {label: [] for label in sorted(set(labels))}
    for text, label in zip(texts, labels, strict=True):
        of[label].append(text)
    result: tuple[list[Any], list[str]] = ([], [])
    for text, label in zip(texts, labels, strict=True):
        same = choose.random() < 0.5
        other = choose.choice(of[label] if same else of[choose.choice([name for name in of if name != label])])
        result[0].append(f"{text} {other}" if joined else (text, other))
        result[1].append("same" if same else "other")
    return result


def presets_table(rows: Mapping[str, Any]) -> str:
    """The rows as docs/MODELS.md has them; what training cost and texts/s are those of TREC."""
    lines = [
        "| preset | TREC | SST-2 | parameters | epochs | training, processor s | texts/s | engine |",
        "|---" * 8 + "|",
    ]
    for name in dict.fromkeys(key.rpartition(".")[0] for key in rows):
        trec, sst2 = rows[f"{name}.trec"], rows[f"{name}.sst2"]
        lines.append(
            f"| `{name}` | {trec['accuracy']} | {sst2['accuracy']} | {trec['parameters']:,} | {trec['epochs']:g} "
            f"| {trec['train_processor_s']:.0f} | {trec['texts_per_s']:,.0f} | {trec['engine']} |"
        )
    return "\n".join(lines)


def depth(data: Path, quick: bool, only: str) -> dict[str, Any]:
    """Validation accuracy after each epoch, on TREC."""
    residual = preset_settings("residual")["model"]["blocks"]
    first, stack = residual
    (shortcut,) = stack["blocks"]
    # the activation that the residual block puts behind its sum
    plain = {**stack, "blocks": [*shortcut["blocks"], {"type": "activation"}]}
    networks = {"residual": residual, "plain": [first, plain]}
    rows: dict[str, Any] = {}
    train = cut(read_csv(data / "trec" / "train.csv"), quick)
    for name, blocks in networks.items():
        if only not in ("", name):
            continue
        settings = {"max_epochs": 2 if quick else DEPTH_EPOCHS, "patience": 0}
        model = TextClassifier({"model": {"blocks": blocks}, "train": settings}, preset=NETWORK).fit(*train)
        history = model.metrics_["history"]
        rows[name] = [round(100 * record["validation_accuracy"], 1) for record in history]
        rows[f"{name}_train_loss"] = [round(record["train_loss"], 3) for record in history]
        say(f"{name}: {rows[name]}")
    return rows


def start(data: Path, quick: bool, only: str) -> dict[str, Any]:
    """Test accuracy of each start, and what it adds to that of the same seed from scratch."""
    texts, labels = read_csv(data / "mr" / "all.csv")
    reviews, ratings = read_csv(data / "imdb" / "train.csv.gz")
    order = np.random.default_rng(0).permutation(len(reviews))
    count = 500 if quick else IMDB_TEXTS
    some = [reviews[row] for row in order[:count]]
    all_of_them = [reviews[row] for row in order[: 2 * count if quick else None]]
    base = {"text": {"max_length": IMDB_LENGTH}, "train": {"max_epochs": 1 if quick else IMDB_EPOCHS}}
    before: dict[str, Callable[[Path], Any] | None] = {
        "scratch": None,
        "sequence": lambda place: write_artifact(place, pretrain_encoder(base, some, rebuild="sequence")),
        "bag": lambda place: write_artifact(place, pretrain_encoder(base, some)),
        "bag_of_all": lambda place: write_artifact(place, pretrain_encoder(base, all_of_them)),
        "transfer": lambda place: (
            TextClassifier(base, preset=NETWORK).fit(some, [ratings[row] for row in order[:count]]).save(place)
        ),
    }  # fmt: skip
    rows: dict[str, Any] = {}
    scratch: list[float] = []
    for name, prepare in before.items():
        if only not in ("", name) and prepare:
            continue
        with tempfile.TemporaryDirectory(prefix="textcnn-") as folder:
            place, began = Path(folder, name, "1"), time.perf_counter()
            if prepare:
                prepare(place)
            seconds = time.perf_counter() - began
            scores = [few(texts, labels, place if prepare else None, seed) for seed in range(1 if quick else SEEDS)]
        scratch = scratch or scores
        rows[name] = {
            **spread(scores),
            "by_seed": [round(score, 2) for score in scores],
            "over_scratch": spread(np.subtract(scores, scratch).tolist()),
            "before_s": round(seconds, 1),
        }
        say(f"{name}: {rows[name]}")
    return rows


def few(texts: Sequence[str], labels: Sequence[str], source: Path | None, seed: int) -> float:
    """Test accuracy on the rest of MR, in percent, of a model trained on ROWS rows of it."""
    order = np.random.default_rng(seed).permutation(len(texts))
    train, test = order[:ROWS], order[ROWS:]
    settings = {"seed": seed, **({"start_from": str(source)} if source else {})}
    model = TextClassifier({"train": settings, "data": {"seed": seed}}, preset=NETWORK)
    model.fit([texts[row] for row in train], [labels[row] for row in train])
    return 100 * model.score([texts[row] for row in test], [labels[row] for row in test])


def tasks(data: Path, quick: bool, only: str) -> dict[str, Any]:
    """Test accuracy, training seconds, epochs until early stopping and seconds of one, mean over seeds.

    An epoch of one network for both costs what an epoch of either costs, so with half the epochs of the two it costs
    half: `both_at_half` may take no more.
    """
    parts = {
        split: (read_csv(data / "trec" / f"{split}.csv"), read_csv(data / "trec" / f"fine_{split}.csv"))
        for split in ("train", "test")
    }
    (texts, coarse), (_, fine) = parts["train"]
    tests, labels = parts["test"][0][0], {"coarse": parts["test"][0][1], "fine": parts["test"][1][1]}
    # as measured so far: a row whose fine label stands nowhere else keeps its coarse label alone
    seen = {label: fine.count(label) for label in set(fine)}
    fine = [label if seen[label] > 1 else "" for label in fine]
    known = [row for row, label in enumerate(fine) if label]
    jobs: dict[str, tuple[list[str], Any, str]] = {
        "coarse": (texts, coarse, "single_label"),
        "fine": ([texts[row] for row in known], [fine[row] for row in known], "single_label"),
        "both": (texts, {"coarse": coarse, "fine": fine}, "multi_task"),
    }
    jobs["both_at_half"] = jobs["both"]
    epochs: dict[str, list[int]] = {}
    rows: dict[str, Any] = {}
    for name, (given, wanted, head) in jobs.items():
        if only not in ("", name) and not (only == "both_at_half" and name in ("coarse", "fine")):
            continue
        found: dict[str, list[float]] = {}
        for seed in range(1 if quick else SEEDS):
            config: Any = {"model": {"head": {"type": head}}, "train": {**budget(quick), "seed": seed}}
            if name == "both_at_half":
                config["train"]["max_epochs"] = (epochs["coarse"][seed] + epochs["fine"][seed]) // 2
            began, processor = time.perf_counter(), time.process_time()
            model = TextClassifier(config, preset=NETWORK).fit(given, wanted)
            found.setdefault("train_s", []).append(time.perf_counter() - began)
            found.setdefault("processor_s", []).append(time.process_time() - processor)
            history = model.metrics_["history"]
            epochs.setdefault(name, []).append(len(history))
            found.setdefault("epochs", []).append(len(history))
            found.setdefault("epoch_s", []).append(statistics.median(record["seconds"] for record in history))
            if head == "multi_task":
                for task, figures in model.evaluate(tests, labels)["tasks"].items():
                    found.setdefault(task, []).append(100 * figures["accuracy"])
            else:
                found.setdefault(name, []).append(100 * model.score(tests, labels[name]))
        rows[name] = {key: spread(values) for key, values in found.items()}
        say(f"{name}: {rows[name]}")
    return rows


def typos(data: Path, quick: bool, only: str) -> dict[str, Any]:
    """Test accuracy, mean over seeds, of the texts as they are and with one and two swaps of letters in each."""
    rows: dict[str, Any] = {}
    for name in ("trec", "sst2"):
        train, (texts, labels) = (cut(read_csv(data / name / f"{part}.csv"), quick) for part in ("train", "test"))
        choose = random.Random(0)
        once = [misspell(text, choose) for text in texts]
        forms = {"as_is": texts, "one_typo": once, "two_typos": [misspell(text, choose) for text in once]}
        for preset in ("kim_rand", "words_and_characters", "char_cnn"):
            if only not in ("", preset):
                continue
            found: dict[str, list[float]] = {}
            for seed in range(1 if quick else TYPO_SEEDS):
                model = TextClassifier({"train": {**budget(quick), "seed": seed}}, preset=preset).fit(*train)
                for form, written in forms.items():
                    found.setdefault(form, []).append(100 * model.score(written, labels))
            rows[f"{preset}.{name}"] = {form: spread(values) for form, values in found.items()}
            say(f"{preset} {name}: {rows[f'{preset}.{name}']}")
    return rows


def scripts(data: Path, quick: bool, only: str) -> dict[str, Any]:
    """Test accuracy and what it costs."""
    sets = {
        "chinese": ("thucnews_titles/dev.csv", "thucnews_titles/test.csv"),
        "russian": ("sentirueval/2016_telecom_train.csv", "sentirueval/2016_telecom_test.csv"),
    }
    rows: dict[str, Any] = {}
    for name, parts in sets.items():
        train, test = (cut(read_csv(data / part), quick) for part in parts)
        rows[f"{name}.majority"] = round(100 * max(map(test[1].count, set(test[1]))) / len(test[1]), 1)
        for preset in ("kim_rand", "char_cnn"):
            if only in ("", preset):
                rows[f"{name}.{preset}"] = measured({"train": budget(quick)}, train, None, test, preset=preset)
                say(f"{preset} {name}: {rows[f'{name}.{preset}']}, majority {rows[f'{name}.majority']}")
    return rows


def budget(quick: bool) -> dict[str, Any]:
    return {"max_epochs": 2} if quick else {}


def cut(split: Split, quick: bool) -> Split:
    return (split[0][::10], split[1][::10]) if quick else split


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and its standard error, which one value has not."""
    error = round(statistics.stdev(values) / len(values) ** 0.5, 2) if len(values) > 1 else None
    return {"mean": round(statistics.mean(values), 2), "standard_error": error}
