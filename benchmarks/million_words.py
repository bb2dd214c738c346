"""A model with a million words in little memory: `make` writes one, `use` loads it and answers, each its own process.

Called by inference.py, since peak memory belongs to a whole process. The table gets a budget; the rows of words beyond
it are computed when they are met.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

BUDGET = 192 << 20  # bytes for the table
TEXTS, TOKENS = 5_000, 20


def make(folder: Path, words: int) -> None:
    """An artefact of the default network with random weights and the words w0000000, w0000001, ..."""
    from textcnn.artifact import Artifact, write_artifact
    from textcnn.build import build_network, resolve
    from textcnn.config import TextConfig
    from textcnn.data.labels import LabelSet
    from textcnn.text.tokenizers import Tokenizer

    config = resolve({})
    names = [f"w{number:07}" for number in range(words)]  # equally frequent words are put in alphabetical order
    tokenizer = Tokenizer.learn([" ".join(names)], TextConfig(max_vocabulary=words))
    network = build_network(config, vocabulary=len(tokenizer), num_classes=2)
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    write_artifact(folder, Artifact(config, LabelSet.from_labels(["no", "yes"]), tokenizer, weights, {}))


def use(folder: Path, words: int) -> dict[str, float]:
    """Load, then answer for texts whose words are as unevenly frequent as words are (Zipf's law)."""
    from benchmarks.machine import resident_mb
    from textcnn import TextClassifier

    model = TextClassifier.load(folder, engine="ngram_table", table_budget=BUDGET, threads=1)
    loaded, loading_peak = resident_mb(), resident_mb(peak=True)
    random = np.random.default_rng(1)
    numbers = np.exp(random.uniform(0.0, np.log(words), (TEXTS, TOKENS))).astype(np.int64) - 1
    texts = [" ".join(f"w{number:07}" for number in row) for row in numbers]
    seconds = []
    for _ in range(2):  # at first the rows of frequent words are computed as well
        started = time.perf_counter()
        labels = model.predict(texts)
        seconds.append(time.perf_counter() - started)
    assert len(labels) == TEXTS and len(model.artifact_.tokenizer) == words + 2  # padding and unknown
    return {
        "words": words,
        "texts_per_second": TEXTS / seconds[1],
        "texts_per_second_at_first": TEXTS / seconds[0],
        "loaded_mb": loaded,
        "loading_peak_mb": loading_peak,
        "resident_mb": resident_mb(),
        "peak_mb": resident_mb(peak=True),
        "table_budget_mb": BUDGET / 1e6,
    }


if __name__ == "__main__":
    step, target, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if step == "make":
        make(target, count)
    else:
        print(json.dumps(use(target, count)))
