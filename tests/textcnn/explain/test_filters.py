from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.artifact import Artifact
from textcnn.errors import EngineError
from textcnn.explain.filter_page import filter_page
from textcnn.explain.filters import Filter, describe_filters
from textcnn.fitted import Fitted
from textcnn.inference.engine import EngineOptions
from textcnn.inference.ngram_table import NgramTableEngine
from textcnn.types import TokenBatch

from ...conftest import tiny_corpus
from ...patience import PATIENCE
from ..inference.test_engines import TOKENIZER, compiled, random_artifact

pytestmark = compiled
TEXTS = [*tiny_corpus(60)[0], "", "parcel"]


def described(artifact: Artifact, texts: list[str] | None = None, top_n: int = 10) -> dict[int, Filter]:
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    weight = artifact.weights["encoder.blocks.0.weight"]
    found = describe_filters(engine, weight, TOKENIZER, artifact.labels.names, texts or [], top_n=top_n)
    return {one.number: one for one in found}


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
def test_no_text_excites_a_filter_more_than_its_ideal_ngram(activation: str) -> None:
    artifact = random_artifact("multichannel", activation)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    ideals = described(artifact)
    draw = np.random.default_rng(0)
    random = TokenBatch(
        draw.integers(1, len(TOKENIZER), 20_000).astype(np.int32), np.arange(0, 20_001, 5, dtype=np.int64)
    )
    highest = engine.winners(random).activations.max(axis=0)
    for number, ideal in ideals.items():
        ids = TOKENIZER.encode([" ".join(ideal.ideal)])
        assert [TOKENIZER.tokens[word] for word in ids.values] == list(ideal.ideal)
        assert engine.winners(ids).activations[0, number] == pytest.approx(ideal.ideal_activation, abs=1e-4)
        assert highest[number] <= ideal.ideal_activation + 1e-4
        assert len(ideal.ideal) == len(ideal.ideal_parts) <= ideal.width


def test_where_every_word_speaks_against_the_ideal_ngram_is_shorter() -> None:
    artifact = random_artifact(widths=(3,), filters=1)
    vectors, kernel = artifact.weights["encoder.embedding.weight"], artifact.weights["encoder.blocks.0.weight"]
    vectors[1:, 0] = 1.0
    kernel[2] = 0.0
    kernel[2, 0] = -1.0  # the third place: -1 for every word
    ideal = described(artifact)[0]
    assert len(ideal.ideal) == 2
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    found = engine.winners(TOKENIZER.encode([" ".join(ideal.ideal)])).activations[0, 0]
    assert found == pytest.approx(max(ideal.ideal_activation, 0.0), abs=1e-4)


def test_examples_are_the_ngrams_of_the_corpus_with_the_highest_activations() -> None:
    artifact = random_artifact()
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    batch = TOKENIZER.encode(TEXTS)
    winners = engine.winners(batch)
    found = described(artifact, TEXTS, top_n=4)
    for number, one in found.items():
        by_tokens: dict[tuple[int, ...], float] = {}
        for row, ids in enumerate(batch):
            first, last = max(int(winners.starts[row, number]), 0), int(winners.ends[row, number])
            if winners.activations[row, number] > 1e-6:
                by_tokens[tuple(ids[first:last].tolist())] = float(winners.activations[row, number])
        expected = sorted(by_tokens.values(), reverse=True)[:4]
        assert [example.activation for example in one.examples] == pytest.approx(expected)
        assert all(any(example.text in text for text in TEXTS) for example in one.examples)
        assert one.active == pytest.approx((winners.activations[:, number] > 1e-6).mean())
        assert one.mean_activation == pytest.approx(winners.activations[:, number].mean(), rel=1e-5)
    influences = [one.influence or 0.0 for one in found.values()]
    assert influences == sorted(influences, reverse=True)


def test_the_label_is_the_one_that_the_votes_raise_most() -> None:
    artifact = random_artifact()
    votes = artifact.weights["head.linear.weight"]
    for number, one in described(artifact).items():
        assert one.label == artifact.labels.names[votes[:, number].argmax()]
        assert one.votes == pytest.approx((votes[:, number] - votes[:, number].mean()).tolist(), abs=1e-6)
        assert (one.examples, one.active, one.mean_activation, one.influence) == ((), None, None, None)


def test_filters_that_say_nothing_or_what_another_says_are_found() -> None:
    artifact = random_artifact(widths=(2, 3), filters=4)
    kernel, bias = artifact.weights["encoder.blocks.0.weight"], artifact.weights["encoder.blocks.0.bias"]
    kernel[[3, 7]] = 2 * kernel[[0, 4]]  # filter 3 of width 2: at both places twice what filter 0 is
    bias[5] = -1000.0
    artifact.weights["head.linear.weight"][:, 6] = 0.5
    for texts in ([], TEXTS):
        found = described(artifact, texts)
        assert {number for number, one in found.items() if one.dead} == {5, 6}
        assert {number: one.duplicate_of for number, one in found.items() if one.duplicate_of is not None} == {3: 0}


def test_a_filter_that_is_silent_in_the_corpus_is_dead_there() -> None:
    artifact = random_artifact(widths=(2,), filters=3)
    ideal = described(artifact)[1].ideal_activation
    artifact.weights["encoder.blocks.0.bias"][1] -= ideal - 0.01
    assert not described(artifact)[1].dead
    assert described(artifact, ["parcel"])[1].dead


def test_networks_without_such_filters_say_so() -> None:
    model = TextClassifier()
    model._model = Fitted(random_artifact(block={"type": "qrnn"}))
    with pytest.raises(EngineError, match="filters are shown for one convolution only: it needs exactly one kim_conv"):
        model.filters()


def test_any_engine_will_do(model_folder: Path) -> None:
    by_table, by_torch = (TextClassifier.load(model_folder, engine=name) for name in ("ngram_table", "torch"))
    assert by_table.filters(TEXTS) == by_torch.filters(TEXTS)


def report(classifier: TextClassifier) -> dict[str, Any]:
    filters = [one.to_dict() for one in classifier.filters(["my parcel </script><b>", "error <!-- 14"])]
    return {"model": "t<i>ny", "version": "1", "labels": classifier.labels, "texts": 2, "filters": filters}


def test_the_page_needs_nothing_from_elsewhere_and_texts_stay_texts(classifier: TextClassifier) -> None:
    page = filter_page(report(classifier))
    assert "http" not in page
    assert "<b>" not in page and "<i>" not in page and "<!--" not in page
    assert page.count("</script>") == 2


def in_a_browser(page: str, folder: Path) -> str:
    """The document as it is after its scripts have run; nothing may have been complained about."""
    path = folder / "filters.html"
    path.write_text(page, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={folder}/profile", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ":CONSOLE" not in done.stderr
    return done.stdout


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not here")
def test_the_page_shows_every_filter_and_finds_words(classifier: TextClassifier, tmp_path: Path) -> None:
    values = report(classifier)
    shown = in_a_browser(filter_page(values), tmp_path)
    assert shown.count("<article>") == 16
    assert "t&lt;i&gt;ny/1" in shown
    search = "by('search').value = 'PARCEL'; by('search').dispatchEvent(new Event('input'));"
    found = in_a_browser(filter_page(values) + f"<script>{search}</script>", tmp_path)
    expected = [
        one
        for one in values["filters"]
        if "parcel" in " ".join([*one["ideal"], *(example["text"] for example in one["examples"])])
    ]
    assert 0 < len(expected) < 16
    assert found.count("<article>") == len(expected)


def test_how_much_of_the_corpus_is_behind_is_told(classifier: TextClassifier) -> None:
    told: list[float] = []
    classifier.filters(["where is my parcel"] * 5000, tell=told.append)
    assert told == sorted(told)
    assert (told[-1], len(told)) == (1.0, 3)
