"""Every engine gives the numbers of the network itself, for random networks of every kind that it says it can run."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textcnn.artifact import Artifact
from textcnn.build import build_network, resolve
from textcnn.classifier import TextClassifier
from textcnn.config import TextConfig
from textcnn.data.labels import LabelSet
from textcnn.errors import ArtifactError, ConfigError, EngineError
from textcnn.inference.engine import EngineOptions
from textcnn.inference.ngram_table import NgramTableEngine
from textcnn.inference.select import FASTEST_FIRST, select_engine
from textcnn.inference.torch_engine import TorchEngine
from textcnn.kernels.native import native
from textcnn.nn.activations import NON_DECREASING
from textcnn.registry import ENGINES
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Floats, TokenBatch

from ...conftest import tiny_corpus

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
MODES = ["rand", "static", "non-static", "multichannel"]
LABELS = LabelSet(("a", "b", "c"))
TOKENIZER = Tokenizer.learn(tiny_corpus()[0], TextConfig())
SPELLING = Tokenizer.learn(tiny_corpus()[0], TextConfig(), spelled="all")
DIM = 16


def random_artifact(
    mode: str = "rand", activation: str = "relu", widths: Sequence[int] = (2, 3, 5), filters: int = 20, blocks: int = 1,
    block: dict[str, Any] | None = None, characters: int = 0,
) -> Artifact:  # fmt: skip
    """A network that nobody trained, with weights large enough that mistakes show."""
    written = {"num_filters": characters, "filter_widths": [1, 3], "dim": 5}
    embedding = {
        "mode": mode, "dim": DIM, "characters": written, **({} if mode == "rand" else {"vectors": "somewhere"})
    }  # fmt: skip
    tokenizer = SPELLING if characters else TOKENIZER
    kim = {"type": "kim_conv", "filter_widths": list(widths), "num_filters": filters, "activation": activation}
    block = block or kim
    config = resolve({"model": {"embedding": embedding, "blocks": [block] * blocks}})
    torch.manual_seed(0)
    matrix = None if mode == "rand" else np.random.default_rng(0).normal(size=(len(tokenizer), DIM))
    network = build_network(
        config, vocabulary=len(tokenizer), num_classes=len(LABELS), matrix=matrix, alphabet=tokenizer.alphabet
    )
    for param in network.parameters():
        torch.nn.init.normal_(param, std=0.3)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return Artifact(config, LABELS, tokenizer, weights, {})


def batches(tokenizer: Tokenizer = TOKENIZER) -> list[TokenBatch]:
    """Usual texts; an empty one among others; one token; unknown words; none; no text at all; more than fit at once."""
    texts, _ = tiny_corpus(20)
    several = [texts, ["", *texts[:2], ""], ["parcel"], ["zyzzyva zyzzyva"], [""], [], (texts * 15)[:270]]
    return [tokenizer.encode(some) for some in several]


def reference(artifact: Artifact, batch: TokenBatch) -> Floats:
    return TorchEngine.from_artifact(artifact, EngineOptions()).logits(batch)


@compiled
@pytest.mark.parametrize("activation", sorted(NON_DECREASING))
@pytest.mark.parametrize("mode", MODES)
def test_the_table_gives_the_numbers_of_the_network(mode: str, activation: str) -> None:
    artifact = random_artifact(mode, activation)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    for batch in batches():
        np.testing.assert_allclose(engine.logits(batch), reference(artifact, batch), atol=1e-5, strict=True)


@compiled
@pytest.mark.parametrize(("widths", "filters"), [((1,), 1), ((7,), 3), ((2, 2), 100), ((1, 2, 3, 4, 9), 17)])
def test_any_filters_will_do(widths: Sequence[int], filters: int) -> None:
    artifact = random_artifact(widths=widths, filters=filters)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    for batch in batches():
        np.testing.assert_allclose(engine.logits(batch), reference(artifact, batch), atol=2e-5, strict=True)


@compiled
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("groups", [2, 4])
def test_filters_in_groups_will_do(mode: str, groups: int) -> None:
    block = {"type": "kim_conv", "filter_widths": [1, 4], "num_filters": [3, 20], "groups": groups}
    artifact = random_artifact(mode, block=block)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    small = NgramTableEngine.from_artifact(artifact, EngineOptions(table_budget=1000))
    for batch in batches():
        np.testing.assert_allclose(engine.logits(batch), reference(artifact, batch), atol=1e-5, strict=True)
        np.testing.assert_array_equal(small.logits(batch), engine.logits(batch))
        ours, theirs = engine.winners(batch), TorchEngine.from_artifact(artifact, EngineOptions()).winners(batch)
        assert theirs is not None
        np.testing.assert_allclose(ours.activations, theirs.activations, atol=1e-5)
        np.testing.assert_array_equal(ours.starts, theirs.starts)


@compiled
@pytest.mark.parametrize("padding", ["valid", "same", "wide"])
def test_any_padding_and_any_number_of_filters_a_width_will_do(padding: str) -> None:
    block = {"type": "kim_conv", "filter_widths": [1, 4, 2], "num_filters": [3, 20, 7], "padding": padding}
    artifact = random_artifact(block=block)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions())
    for batch in batches():
        np.testing.assert_allclose(engine.logits(batch), reference(artifact, batch), atol=1e-5, strict=True)


@compiled
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_budget_smaller_than_the_vocabulary_changes_no_bit(rows: int) -> None:
    artifact = random_artifact()
    whole = NgramTableEngine.from_artifact(artifact, EngineOptions())
    bytes_a_row = whole.table.windows.rows * 4
    small = NgramTableEngine.from_artifact(artifact, EngineOptions(table_budget=rows * bytes_a_row + 3))
    assert (small.table.words, whole.table.words) == (rows, len(TOKENIZER))
    for batch in batches():
        np.testing.assert_array_equal(small.logits(batch), whole.logits(batch))


@compiled
@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 0.02), ("int8", 0.3)])
@pytest.mark.parametrize("budget", [1 << 30, 1000])
def test_smaller_numbers_give_nearly_the_same_and_say_so(
    precision: Any, tolerance: float, budget: int, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = random_artifact()
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions(table_precision=precision, table_budget=budget))
    assert f"{precision} tables: a feature differs from float32 by up to" in caplog.text
    for batch in batches():
        if len(batch):
            expected = reference(artifact, batch)
            np.testing.assert_allclose(engine.logits(batch), expected, atol=tolerance * np.abs(expected).max())


MISSPELLED = ["where is my parzel, zyzzyva", "", "parzel", "☃ Straße " + "x" * 500, "the parcel zyzzyva parzel parcel"]


@compiled
@pytest.mark.parametrize("block", [None, {"type": "qrnn", "hidden_dim": 6, "bidirectional": True}], ids=["kim", "qrnn"])
@pytest.mark.parametrize("mode", MODES)
def test_tables_give_the_numbers_of_a_network_that_reads_characters_too(mode: str, block: Any) -> None:
    artifact = random_artifact(mode, block=block, characters=4)
    engine = select_engine(artifact)
    assert engine.name == ("qrnn_table" if block else "ngram_table")
    small = select_engine(artifact, options=EngineOptions(table_budget=3000))
    for batch in [*batches(SPELLING), SPELLING.encode(MISSPELLED), SPELLING.encode(MISSPELLED * 40)]:
        if len(batch):
            logits = engine.logits(batch)
            np.testing.assert_allclose(logits, reference(artifact, batch), atol=2e-5, strict=True)
            np.testing.assert_array_equal(small.logits(batch), logits)
    for text, logits in zip(MISSPELLED, engine.logits(SPELLING.encode(MISSPELLED)), strict=True):
        np.testing.assert_array_equal(engine.logits(SPELLING.encode([text]))[0], logits)


@compiled
def test_a_word_outside_the_vocabulary_is_read_by_its_characters() -> None:
    engine = select_engine(random_artifact(characters=4))
    one, other, again = engine.logits(SPELLING.encode(["parzel", "zyzzyva", "parzel"]))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01
    plain = select_engine(random_artifact())
    one, other = plain.logits(TOKENIZER.encode(["parzel", "zyzzyva"]))
    np.testing.assert_array_equal(one, other)


@compiled
def test_whole_numbers_hold_what_a_word_outside_the_vocabulary_adds() -> None:
    artifact = random_artifact(characters=4)
    weights = dict(artifact.weights)
    speller = SPELLING.speller
    assert speller
    loud = weights["encoder.characters.embedding.weight"].copy()
    loud[1] = 50.0  # characters that no word of the vocabulary has
    artifact = dataclasses.replace(artifact, weights={**weights, "encoder.characters.embedding.weight": loud})
    batch = SPELLING.encode(["☃☃ where is my parcel"])
    features, _ = NgramTableEngine.from_artifact(artifact, EngineOptions(table_precision="int8")).features(batch)
    exact, _ = NgramTableEngine.from_artifact(artifact, EngineOptions()).features(batch)
    assert (features <= exact + 0.3).all(), "what is too much for a whole number is cut, and does not turn round"


def test_torch_takes_as_many_threads_as_it_was_given() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        engine = select_engine(random_artifact(blocks=2), engine="torch", options=EngineOptions(threads=2))
        engine.logits(TOKENIZER.encode(["parcel"]))
        assert torch.get_num_threads() == 2
        select_engine(random_artifact(), engine="torch").logits(TOKENIZER.encode(["parcel"]))
        assert torch.get_num_threads() == 2, "without a number it is not touched"
    finally:
        torch.set_num_threads(before)


def test_several_layers_answer_where_every_text_is_empty() -> None:
    logits = TorchEngine.from_artifact(random_artifact(blocks=2), EngineOptions()).logits(TOKENIZER.encode(["", ""]))
    assert np.isfinite(logits).all()


@compiled
def test_features_come_with_the_windows_that_won() -> None:
    engine = NgramTableEngine.from_artifact(random_artifact(widths=(2,)), EngineOptions())
    batch = TOKENIZER.encode(["where is my parcel", ""])
    features, starts = engine.features(batch, argmax=True)
    without, nothing = engine.features(batch)
    np.testing.assert_array_equal(features, without)
    assert nothing is None
    assert starts is not None
    assert ((starts[0] >= 0) & (starts[0] < 4)).all()
    assert not features[1].any()


@compiled
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    artifact, batch = random_artifact(), batches()[-1]
    expected = NgramTableEngine.from_artifact(artifact, EngineOptions(threads=1)).logits(batch)
    engine = NgramTableEngine.from_artifact(artifact, EngineOptions(threads=threads))
    np.testing.assert_array_equal(engine.logits(batch), expected)


@compiled
@pytest.mark.parametrize("name", ["ngram_table", "torch"])
@pytest.mark.parametrize("budget", [1 << 30, 1000])
def test_an_engine_may_be_asked_by_several_threads_at_once(name: str, budget: int) -> None:
    artifact = random_artifact()
    engine = select_engine(artifact, engine=name, options=EngineOptions(table_budget=budget))
    texts, _ = tiny_corpus(60)
    parts = [TOKENIZER.encode(texts[start : start + 10]) for start in range(0, 60, 10)]
    answers: dict[int, Floats] = {}
    start = threading.Barrier(len(parts))

    def ask(number: int) -> None:
        start.wait()
        answers[number] = engine.logits(parts[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, part in enumerate(parts):
        np.testing.assert_allclose(answers[number], reference(artifact, part), atol=1e-5)


@compiled
def test_the_fastest_engine_that_can_is_taken() -> None:
    assert sorted(FASTEST_FIRST) == ENGINES.names()
    assert select_engine(random_artifact()).name == "ngram_table"


def test_what_the_table_cannot_run_goes_to_torch_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert select_engine(random_artifact(blocks=2)).name == "torch"
    assert "ngram_table: it needs exactly one kim_conv block, the model has kim_conv, kim_conv" in caplog.text


@pytest.mark.parametrize(
    ("part", "spec", "reason"),
    [
        ("pooling", {"type": "average"}, "it needs pooling max_over_time, the model has average"),
        (
            "head",
            {"type": "ordinal", "hidden_dim": 5},
            "it needs a head without hidden layer, the model's has 5 units",
        ),
        ("blocks", (), "it needs exactly one kim_conv block, the model has none"),
    ],
)
def test_the_table_says_what_it_cannot_run(part: str, spec: Any, reason: str) -> None:
    artifact = random_artifact()
    model = artifact.config.model.model_copy(update={part: spec})
    other = dataclasses.replace(artifact, config=artifact.config.model_copy(update={"model": model}))
    assert NgramTableEngine.why_not(other, EngineOptions()) == reason


def test_an_engine_asked_for_by_name_is_not_replaced() -> None:
    with pytest.raises(
        EngineError, match="no engine can run model unsaved/0: ngram_table: .*device cuda was asked for"
    ):
        select_engine(random_artifact(), engine="ngram_table", options=EngineOptions(device="cuda"))
    with pytest.raises(ConfigError, match="unknown engine 'ngram'; did you mean 'ngram_table'"):
        select_engine(random_artifact(), engine="ngram")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_an_error_and_no_silent_cpu() -> None:
    with pytest.raises(ConfigError, match="device 'cuda' is not available"):
        select_engine(random_artifact(), options=EngineOptions(device="cuda"))


ANSWER = """
import json, sys
sys.modules["torch"] = None  # as if it were not installed
from textcnn import TextClassifier
model = TextClassifier.load(sys.argv[1])
print(json.dumps([model.engine_name, model.predict_proba(["where is my parcel", "", "zz"]).tolist()]))
"""


def test_without_torch_and_without_the_kernels_numpy_answers_and_says_that_it_is_slow(
    classifier: TextClassifier, model_folder: Path
) -> None:
    without = {**os.environ, "TEXTCNN_NATIVE": "off"}
    command = [sys.executable, "-c", ANSWER, str(model_folder)]
    done = subprocess.run(command, env=without, capture_output=True, text=True, check=True)
    name, answers = json.loads(done.stdout)
    assert name == "ngram_table"
    np.testing.assert_allclose(answers, classifier.predict_proba(["where is my parcel", "", "zz"]), atol=1e-5)
    assert "using numpy, which is several times slower" in done.stderr


def test_without_the_kernels_torch_runs_a_model_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcnn.inference.engine.native", lambda: None)
    assert select_engine(random_artifact()).name == "torch"


def test_what_no_engine_can_run_is_told_with_the_reason_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcnn.inference.qrnn_table.native", lambda: None)
    monkeypatch.setitem(ENGINES._lazy, "torch", "textcnn.inference.there_is_no_such_module:TorchEngine")
    monkeypatch.delitem(ENGINES._parts, "torch", raising=False)
    monkeypatch.delitem(sys.modules, "textcnn.inference.there_is_no_such_module", raising=False)
    with pytest.raises(EngineError, match=r"qrnn_table: it needs the compiled kernels.*; torch: .* is not installed"):
        select_engine(random_artifact(block=QRNNS[0]))


def test_weights_that_do_not_fit_the_configuration_are_refused_by_torch() -> None:
    artifact = random_artifact()
    weights = {**artifact.weights, "head.linear.weight": np.zeros((3, 7), np.float32)}
    with pytest.raises(ArtifactError, match="the weights of model unsaved/0 do not fit its configuration"):
        TorchEngine.from_artifact(dataclasses.replace(artifact, weights=weights), EngineOptions())


QRNNS: list[dict[str, Any]] = [
    {"type": "qrnn", "hidden_dim": 20},
    {"type": "qrnn", "hidden_dim": 7, "window": 1, "recurrent_pooling": "f"},
    {"type": "qrnn", "hidden_dim": 33, "window": 4, "recurrent_pooling": "ifo", "bidirectional": True},
]


@compiled
@pytest.mark.parametrize("block", QRNNS, ids=str)
def test_a_qrnn_by_table_gives_the_numbers_of_the_network_and_the_same_bits_in_any_batch(block: dict[str, Any]) -> None:
    artifact = random_artifact("multichannel", block=block)
    engine = select_engine(artifact)
    assert engine.name == "qrnn_table"
    small = select_engine(artifact, options=EngineOptions(table_budget=20_000))
    for batch in batches():
        if len(batch):
            logits = engine.logits(batch)
            np.testing.assert_allclose(logits, reference(artifact, batch), atol=1e-5)
            np.testing.assert_array_equal(small.logits(batch), logits)
            for text in range(min(len(batch), 20)):
                np.testing.assert_array_equal(engine.logits(batch.take([text]))[0], logits[text])


def test_a_qrnn_table_says_what_it_cannot_run() -> None:
    for block, reason in (
        ({"type": "qrnn", "num_layers": 2}, "one layer"),
        ({"type": "kim_conv"}, "it needs exactly one qrnn"),
    ):
        with pytest.raises(EngineError, match=reason):
            select_engine(random_artifact(block=block), engine="qrnn_table")
    with pytest.raises(EngineError, match="its tables are float32"):
        select_engine(
            random_artifact(block=QRNNS[0]), engine="qrnn_table", options=EngineOptions(table_precision="int8")
        )


QRNN = {"type": "qrnn", "hidden_dim": 8, "bidirectional": True}


@compiled
@pytest.mark.parametrize("block", [None, QRNN], ids=["kim_conv", "qrnn"])
@pytest.mark.parametrize("change", [lambda w: w[:-1], lambda w: w[..., :-1], lambda w: w.astype(np.float64), None])
def test_weights_that_do_not_fit_are_refused_before_compiled_code_reads_them(block: Any, change: Any) -> None:
    artifact = random_artifact(block=block)
    for name, weight in artifact.weights.items():
        others = {key: value for key, value in artifact.weights.items() if key != name}
        changed = others if change is None else {**others, name: np.ascontiguousarray(change(weight))}
        with pytest.raises(ArtifactError, match=f"do not fit its configuration: {name} is .*, expected float32"):
            select_engine(dataclasses.replace(artifact, weights=changed))


@compiled
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    artifact = random_artifact()
    for name, weight in artifact.weights.items():
        broken = weight.copy()
        broken.flat[-1] = value
        with pytest.raises(ArtifactError, match=f"are no finite numbers: {name}"):
            select_engine(dataclasses.replace(artifact, weights={**artifact.weights, name: broken}))


@pytest.mark.parametrize("spec", [{"type": "kim_conv"}, {"type": "kim_conv", "filter_widths": 3, "activation": "relu"}])
def test_a_configuration_that_nobody_wrote_is_refused(spec: dict[str, Any]) -> None:
    artifact = random_artifact()
    model = artifact.config.model.model_copy(update={"blocks": (spec,)})
    config = artifact.config.model_copy(update={"model": model})
    with pytest.raises(ArtifactError, match="is not one that textcnn writes"):
        select_engine(dataclasses.replace(artifact, config=config))


@pytest.mark.parametrize("block", [None, QRNN], ids=["kim_conv", "qrnn"])
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu", "mps"])
def test_tables_are_for_the_cpu_alone(block: Any, device: str) -> None:
    artifact = random_artifact(block=block)
    with pytest.raises(ConfigError, match="device"):
        select_engine(artifact, options=EngineOptions(device=device))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stride": 2}, "it needs stride 1, the model has 2"),
        ({"dilation": 3}, "it needs dilation 1, the model has 3"),
        ({"activation": "gelu"}, "activation gelu cannot be taken after max over time"),
    ],
)
def test_an_ngram_table_says_which_convolutions_it_cannot_run_and_torch_runs_them(
    options: dict[str, Any], reason: str
) -> None:
    artifact = random_artifact(block={"type": "kim_conv", **options})
    with pytest.raises(EngineError, match=reason):
        select_engine(artifact, engine="ngram_table")
    assert select_engine(artifact).name == "torch"
