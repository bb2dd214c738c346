"""From token ids to logits, and from strings to labels, on one core.

What limits each. The engine reads one row of the table a token: 4.8 KB in float32 for 3, 4, 5 x 100 filters. MR's table
is 92 MB, so rare words come from memory and frequent ones from the caches; hence the copy of a large buffer beside it,
which is the pace at which this machine moves bytes. float16 and int8 rows read half and a quarter. From strings to
labels it is the engine again: tokenizing takes a tenth. One text alone is mostly the price of calls from Python.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import machine, peers, reference
from benchmarks.data import ROOT, mr_model, read_csv
from benchmarks.machine import Work, interleave, pinned, say
from textcnn import TextClassifier
from textcnn.choices import TablePrecision
from textcnn.data.split import stratified_split
from textcnn.inference.engine import EngineOptions
from textcnn.inference.ngram_table import NgramTableEngine
from textcnn.inference.torch_engine import TorchEngine
from textcnn.kernels.windows import Windows
from textcnn.types import TokenBatch

ONE_THREAD = EngineOptions(threads=1)
PRECISIONS: tuple[TablePrecision, ...] = ("float32", "float16", "int8")
LIMITS = {
    "engine_over_conv1d": "one pass over a text's table rows against 300 x width multiply-adds a window and filter",
    "bandwidth_share": "memory: bytes of table rows a second over bytes read and written a second by a copy; "
    "above 1 where frequent words stay in the caches",
    "strings_over_fasttext_bigrams": "the table: tokenizing takes a tenth; fastText waits for 800 MB of bigram rows",
    "strings_over_fasttext_unigrams": "the table: fastText reads 400 bytes a word, this network 4,800",
    "one_text_p50_us": "calls from Python and numpy around some 10 us of work",
}


def run(*, data: Path, quick: bool = False) -> dict[str, Any]:
    """Everything on one core, but for the rows that say otherwise."""
    texts, labels = read_csv(data / "mr" / "all.csv")
    folder = mr_model(data, epochs=1 if quick else 4)
    about = machine.describe()
    torch.set_num_threads(1)
    with pinned(1):
        model = TextClassifier.load(folder, threads=1)
        if model.engine_name != "ngram_table":
            raise RuntimeError(f"the model runs on engine {model.engine_name}; is the compiled extension there?")
        result, missing = engines(model, texts, rounds=2 if quick else 9)
        strings, missing_peers = predictions(model, texts, labels, quick=quick)
        result |= strings | one_text(model, texts[: 500 if quick else 5000])
    result["precision"] = precisions(model, texts, labels, rounds=2 if quick else 7)
    result["scaling"] = scaling(folder, texts, rounds=2 if quick else 7)
    million = million_words(100_000 if quick else 1_000_000)
    result |= {"million_words_peak_mb": million["peak_mb"], "million_words": million}
    return {**result, "limits": LIMITS, "missing": missing | missing_peers, "machine": about}


def engines(model: TextClassifier, texts: Sequence[str], *, rounds: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Token ids in, logits out: the table, torch's convolutions and onnxruntime's; the speed of a copy beside them.

    The others get their batches of 256, sorted by length and padded, before the clock starts.
    """
    say("engines ...")
    artifact = model.artifact_
    batch = artifact.tokenizer.encode(texts)
    engine = NgramTableEngine.from_artifact(artifact, ONE_THREAD)
    network = reference.SentenceCnn(len(artifact.tokenizer), len(artifact.labels.names)).eval()
    batches = reference.sorted_rectangles(batch, 256)
    copy, copied = machine.copying()

    @torch.inference_mode()
    def conv1d() -> None:
        for ids in batches:
            network(ids)

    work: dict[str, Work] = {
        "engine": lambda: engine.logits(batch),
        "engine_features_only": lambda: engine.table.gather(batch),
        "engine_with_argmax": lambda: engine.table.gather(batch, argmax=True),
        "copy": copy,
        "conv1d": conv1d,
    }
    missing = {}
    try:
        weights = {name: value.numpy() for name, value in network.state_dict().items()}
        work["onnxruntime"] = peers.onnxruntime_conv(weights, [ids.numpy() for ids in batches])
    except peers.PeerMissingError as error:
        missing["onnxruntime_texts_per_second"] = str(error)
    seconds = interleave(work, rounds)
    rate = bytes_read(batch, engine.table.windows, itemsize=4) / seconds["engine"]
    exact = TorchEngine.from_artifact(artifact, EngineOptions(device="cpu"))
    return {
        "engine_over_conv1d": seconds["conv1d"] / seconds["engine"],
        "bandwidth_share": rate / (copied / seconds["copy"]),
        "engine_texts_per_second": {
            "table": len(texts) / seconds["engine"],
            "table_features_only": len(texts) / seconds["engine_features_only"],
            "table_with_argmax": len(texts) / seconds["engine_with_argmax"],
            "torch_conv1d": len(texts) / seconds["conv1d"],
            "onnxruntime": len(texts) / seconds["onnxruntime"] if "onnxruntime" in seconds else None,
        },
        "table_read_gb_per_second": rate / 1e9,
        "copy_gb_per_second": copied / seconds["copy"] / 1e9,
        "largest_difference_from_torch": float(np.abs(engine.logits(batch) - exact.logits(batch)).max()),
        "texts": len(texts),
        "tokens_per_text": len(batch.values) / len(texts),
        "vocabulary": len(artifact.tokenizer),
        "tokenizer_compiled": artifact.tokenizer.why_not_compiled is None,
    }, missing


def bytes_read(batch: TokenBatch, windows: Windows, *, itemsize: int) -> int:
    """Bytes of table rows that a batch makes the kernel add up once: every token at every offset of every window."""
    lengths = batch.lengths[batch.lengths > 0]
    total = 0
    for width, filters, _, _, left in windows.groups():
        right = windows.pad(width)[1]
        count = np.maximum(1, lengths + left + right - width + 1)
        for k in range(width):
            inside = np.minimum(count, lengths + left - k) - max(0, left - k)
            total += int(np.maximum(0, inside).sum()) * filters
    return total * itemsize


def predictions(
    model: TextClassifier, texts: Sequence[str], labels: Sequence[str], *, quick: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Python strings in, labels out; ours in one call, the others each in its fastest way."""
    ways: dict[str, dict[str, peers.Predict]] = {"ours": {"predict(list)": model.predict}}
    missing: dict[str, str] = {}

    def add(name: str, key: str, build: Any) -> None:
        try:
            found = build()
            ways[name] = found if isinstance(found, dict) else {name: found}
        except peers.PeerMissingError as error:
            missing[key] = str(error)

    say("training the peers ...")
    epochs = 1 if quick else 5
    for grams in ("bigrams", "unigrams"):
        name = f"fasttext_{grams}"
        add(
            name, f"strings_over_{name}",
            lambda bigrams=(grams == "bigrams"): peers.fasttext(texts, labels, bigrams=bigrams, epochs=epochs),
        )  # fmt: skip
    add("spacy_cnn", "strings_over_spacy_cnn", lambda: peers.spacy_cnn(texts, labels, examples=100 if quick else 1000))
    add("sklearn_tfidf", "strings_over_sklearn_tfidf", lambda: peers.sklearn_tfidf(texts, labels))
    # the slow ones get fewer texts: the same ones every time, spread over the file
    some = {"spacy_cnn": texts[:: 40 if quick else 10], "sklearn_tfidf": texts[::4]}
    work: dict[str, Work] = {}
    counts = {}
    for name, calls in ways.items():
        for way, call in calls.items():
            given = some.get(name, texts)
            work[f"{name} {way}"] = partial(call, given)
            counts[f"{name} {way}"] = len(given)
    tokenizer = model.artifact_.tokenizer
    work["tokenizer"], counts["tokenizer"] = lambda: tokenizer.encode(texts), len(texts)
    say("strings to labels ...")
    seconds = interleave(work, 2 if quick else 9)
    rates = {key: counts[key] / value for key, value in seconds.items()}
    best = {name: max(rates[f"{name} {way}"] for way in calls) for name, calls in ways.items()}
    result: dict[str, Any] = {
        f"strings_over_{name}": best["ours"] / best[name] if name in best else None
        for name in ("fasttext_bigrams", "fasttext_unigrams", "spacy_cnn", "sklearn_tfidf")
    }
    result["strings_texts_per_second"] = rates
    return result, missing


def one_text(model: TextClassifier, texts: Sequence[str]) -> dict[str, Any]:
    """Microseconds of TextClassifier.predict([text]), a different text every time, and of its two halves."""
    say("one text at a time ...")
    tokenizer, engine = model.artifact_.tokenizer, NgramTableEngine.from_artifact(model.artifact_, ONE_THREAD)
    engine.logits(tokenizer.encode(texts))  # compute all rows, as in a process that has run for a while
    whole, first, second = [], [], []
    for text in texts:
        began = time.perf_counter_ns()
        model.predict([text])
        whole.append(time.perf_counter_ns() - began)
    for text in texts:
        began = time.perf_counter_ns()
        batch = tokenizer.encode([text])
        between = time.perf_counter_ns()
        engine.logits(batch)
        second.append(time.perf_counter_ns() - between)
        first.append(between - began)
    return {
        "one_text_p50_us": statistics.median(whole) / 1000,
        "one_text_us": {
            "p90": float(np.percentile(whole, 90)) / 1000,
            "p99": float(np.percentile(whole, 99)) / 1000,
            "tokenizer_p50": statistics.median(first) / 1000,
            "engine_p50": statistics.median(second) / 1000,
        },
    }


def precisions(
    model: TextClassifier, texts: Sequence[str], labels: Sequence[str], *, rounds: int
) -> dict[str, dict[str, Any]]:
    """Speed and size of the table in each precision, and what it does to the answers."""
    say("precisions ...")
    artifact = model.artifact_
    data = artifact.config.data
    _, held_out = stratified_split(texts, labels, fraction=data.validation_fraction, seed=data.seed)
    targets = artifact.labels.encode(labels)
    batch = artifact.tokenizer.encode(texts)
    with pinned(1):
        engines = {
            name: NgramTableEngine.from_artifact(artifact, EngineOptions(threads=1, table_precision=name))
            for name in PRECISIONS
        }
        seconds = interleave({name: partial(e.logits, batch) for name, e in engines.items()}, rounds)
    exact = engines["float32"].logits(batch)
    rows: dict[str, dict[str, Any]] = {}
    for name, engine in engines.items():
        logits = engine.logits(batch)
        answers = logits.argmax(1)
        rows[name] = {
            "texts_per_second": len(texts) / seconds[name],
            "table_mb": engine.table.words * engine.table.windows.rows * np.dtype(name).itemsize / 1e6,
            "largest_logit_change": float(np.abs(logits - exact).max()),
            "labels_changed": int((answers != exact.argmax(1)).sum()),
            "held_out_accuracy": float((answers[held_out] == targets[held_out]).mean()),
        }
    return rows


def scaling(folder: Path, texts: Sequence[str], *, rounds: int) -> dict[str, float | None]:
    """Two cores over one: the engine with two threads, and two Python threads that each predict half the texts."""
    if len(os.sched_getaffinity(0)) < 2:
        return {"engine_two_threads": None, "two_callers": None}
    say("two cores ...")
    model = TextClassifier.load(folder, threads=1)
    one = NgramTableEngine.from_artifact(model.artifact_, ONE_THREAD)
    two = NgramTableEngine.from_artifact(model.artifact_, EngineOptions(threads=2))
    batch = model.artifact_.tokenizer.encode(texts)
    halves = texts[::2], texts[1::2]
    with pinned(2), ThreadPoolExecutor(2) as pool:
        seconds = interleave(
            {
                "engine_1": lambda: one.logits(batch),
                "engine_2": lambda: two.logits(batch),
                "caller_1": lambda: [model.predict(half) for half in halves],
                "caller_2": lambda: list(pool.map(model.predict, halves)),
            },
            rounds,
        )
    return {
        "engine_two_threads": seconds["engine_1"] / seconds["engine_2"],
        "two_callers": seconds["caller_1"] / seconds["caller_2"],
    }


def million_words(words: int) -> dict[str, Any]:
    """What a process needs that loads and uses a model of that many words; see million_words.py."""
    say(f"a model of {words:,} words ...")
    with tempfile.TemporaryDirectory(prefix="textcnn-") as folder:
        command = [sys.executable, "-m", "benchmarks.million_words"]
        where = [str(Path(folder) / "million" / "1"), str(words)]
        subprocess.run([*command, "make", *where], cwd=ROOT, check=True)
        done = subprocess.run([*command, "use", *where], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout)
    return result
