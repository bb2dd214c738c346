"""N-grams beside the network (the default preset): what each part knows, what both know, and what both cost.

Every model is trained once and asked three times: its network alone, its n-grams alone, both; and one without character
n-grams is trained beside it (`words`: both parts of that one). Sets without test rows have some held out, drawn by the
seed; the rows of small sets are drawn, every label among them. Costs are those of MR, on one core.

What limits it. Accuracy: the data and few seeds; differences between sets are far larger than those between seeds.
Cost: three n-grams a token are looked for; a filter of 64 KB tells which are not there, a table of 2 MB has the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.data import mr_model, read_csv
from benchmarks.machine import interleave, pinned, say
from textcnn import TextClassifier
from textcnn.answers import decide
from textcnn.calibration.calibration import Calibration
from textcnn.inference.wide import WideEngine
from textcnn.presets import DEFAULT_PRESET

# training file; test file, or how many rows are held out; how many of the first rows are used
SETS: dict[str, tuple[str, str | int, int | None]] = {
    "trec": ("trec/train.csv", "trec/test.csv", None),
    "trec_fine": ("trec/fine_train.csv", "trec/fine_test.csv", None),
    "cr": ("cr/all.csv", 800, None),
    "mpqa": ("mpqa/all.csv", 2000, None),
    "subj": ("subj/all.csv", 2000, None),
    "sst2": ("sst2/train.csv", "sst2/test.csv", None),
    "sst1": ("sst1/train.csv", "sst1/test.csv", None),
    "mr": ("mr/all.csv", 2000, None),
    "clinc150": ("clinc150/train.csv", "clinc150/test.csv", None),
    "agnews": ("agnews/train_partial.csv.gz", "agnews/test.csv.gz", 20_000),
    "chinese_titles": ("thucnews_titles/dev.csv", "thucnews_titles/test.csv", None),
    "russian_telecoms": ("sentirueval/2016_telecom_train.csv", "sentirueval/2016_telecom_test.csv", None),
    "russian_banks": ("sentirueval/2016_banks_train.csv.gz", "sentirueval/2016_banks_test.csv", None),
}
# sets, and how many of their rows are drawn
SMALL = {f"{name}_{rows}": (name, rows) for name in ("agnews", "clinc150", "russian_banks") for rows in (500, 2000)}
ALONE = 2000  # texts that are asked about one by one
PARTS = ("network", "ngrams", "both")
WORDS = {"model": {"wide": {"characters": 0}}}
LIMITS = {
    "sets": "the data: one split of most sets, so single figures are known to a point or two",
    "both_over_network": "three look-ups a token, four a character of an unknown word: most end at a filter of 64 KB",
}
Rows = tuple[list[str], list[str]]


def run(*, data: Path, quick: bool = False, seeds: int = 3, only: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {"machine": machine.describe(), "limits": LIMITS}
    if not only:
        result |= costs(data, quick=quick)
    rows: dict[str, dict[str, float]] = {}
    for name in ("trec", "cr") if quick and not only else (*SETS, *SMALL):
        if only in ("", name):
            found = [accuracies(data, name, seed, quick=quick) for seed in range(1, (1 if quick else seeds) + 1)]
            rows[name] = {part: round(statistics.mean(one[part] for one in found), 1) for part in (*PARTS, "words")}
            say(f"  {name}: {rows[name]}")
    return result | {"sets": rows, **_gains(rows), "table": _table(rows)}


def accuracies(data: Path, name: str, seed: int, *, quick: bool) -> dict[str, float]:
    """Test accuracy of each part in percent."""
    train, (texts, labels) = _split(data, name, seed)
    settings: dict[str, Any] = {"train": {"seed": seed, **({"max_epochs": 1} if quick else {})}}
    words = TextClassifier({**settings, **WORDS}, preset=DEFAULT_PRESET).fit(*train)
    model = TextClassifier(settings, preset=DEFAULT_PRESET).fit(*train)
    engine, batch = model._fitted().engine, model.artifact_.tokenizer.encode(texts)
    assert isinstance(engine, WideEngine)
    network = engine.engine.logits(batch.unspelled())
    both = engine.logits(batch)
    found = {"words": 100 * float(np.mean([a == b for a, b in zip(words.predict(texts), labels, strict=True)]))}
    for part, logits in zip(PARTS, (network, both - network, both), strict=True):
        said = decide(Calibration().probabilities(logits), model.labels, model.head)
        found[part] = 100 * float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))
    return found


def costs(data: Path, *, quick: bool) -> dict[str, Any]:
    """Strings to labels with and without n-grams, many texts and one; bytes of the models. `words`: no characters.

    The models have met these texts, so one word in 265 is unknown; of reviews of products (CR) one in 12.
    """
    texts, _ = read_csv(data / "mr" / "all.csv")
    others, _ = read_csv(data / "cr" / "all.csv")
    epochs = 1 if quick else 4
    folders = {
        "network": mr_model(data, epochs=epochs),
        "words": mr_model(data, epochs=epochs, preset=DEFAULT_PRESET, overrides=["model.wide.characters=0"]),
        "both": mr_model(data, epochs=epochs, preset=DEFAULT_PRESET),
    }
    say("strings to labels ...")
    with pinned(1):
        models = {name: TextClassifier.load(folder, threads=1) for name, folder in folders.items()}
        rounds = 3 if quick else 15
        many = interleave({name: partial(model.predict, texts) for name, model in models.items()}, rounds)
        alone = [[text] for text in texts[:ALONE]]
        one = interleave({name: partial(_each, model, alone) for name, model in models.items()}, rounds)
        unknown = interleave({name: partial(model.predict, others) for name, model in models.items()}, rounds)
    size = {name: (folder / "model.safetensors").stat().st_size / 1e6 for name, folder in folders.items()}
    return {
        "both_over_network": many["both"] / many["network"],
        "many_us_a_text": {name: 1e6 * seconds / len(texts) for name, seconds in many.items()},
        "one_text_us": {name: 1e6 * seconds / ALONE for name, seconds in one.items()},
        "many_with_unknown_words_us_a_text": {name: 1e6 * s / len(others) for name, s in unknown.items()},
        "weights_mb": size,
    }


def _each(model: TextClassifier, batches: Sequence[list[str]]) -> None:
    for batch in batches:
        model.predict(batch)


def _split(data: Path, name: str, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and to test on; texts without a character are left out."""
    if name in SMALL:
        whole, rows = SMALL[name]
        chosen, tested = _split(data, whole, seed)
        return _rows(chosen, _draw(chosen[1], rows, seed)), tested
    train, test, most = SETS[name]
    texts, labels = _filled(read_csv(data / train))
    if isinstance(test, str):
        return (texts[:most], labels[:most]), _filled(read_csv(data / test))
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    return _rows((texts, labels), order[test:]), _rows((texts, labels), order[:test])


def _draw(labels: Sequence[str], rows: int, seed: int) -> list[int]:
    """So many rows by chance, one of each label first."""
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    first = {labels[row]: row for row in reversed(order)}
    drawn = set(first.values())
    return [*sorted(drawn), *(row for row in order if row not in drawn)][:rows]


def _filled(rows: Rows) -> Rows:
    return _rows(rows, [row for row, text in enumerate(rows[0]) if text.strip()])


def _rows(rows: Rows, chosen: Sequence[int]) -> Rows:
    return [rows[0][row] for row in chosen], [rows[1][row] for row in chosen]


def _gains(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean points of both parts over the network, and over both without character n-grams: of whole sets, of small."""
    found = {}
    for of, names in (("", SETS), ("_small", SMALL)):
        some = [row for name, row in rows.items() if name in names]
        for part, gain in (("network", "gain_points"), ("words", "characters_gain_points")):
            if some:
                found[gain + of] = statistics.mean(row["both"] - row[part] for row in some)
    return found


def _table(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| set | network | n-grams | both | both without characters |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | " + " | ".join(str(row[part]) for part in (*PARTS, "words")) + " |" for name, row in rows.items()
    ]
    return "\n".join(lines)
