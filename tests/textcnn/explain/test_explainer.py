"""N-gram evidence adds up to the logit, for every text and every network that it is said to be exact for."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections import defaultdict
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn import TextClassifier
from textcnn.answers import probabilities, softmax
from textcnn.artifact import Artifact
from textcnn.build import build_network, resolve
from textcnn.calibration.calibration import Calibration
from textcnn.config import TextConfig
from textcnn.errors import DataError, LabelError
from textcnn.explain.explainer import Direct, evidence_of, explain_texts
from textcnn.explain.ngram_evidence import ngram_evidence
from textcnn.inference.engine import EngineOptions
from textcnn.inference.ngram_table import word_vectors
from textcnn.inference.select import select_engine
from textcnn.kernels.native import native
from textcnn.kernels.windows import Windows
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import BREAK_ID, UNKNOWN_ID, Explanation, TokenBatch

from ..inference.test_engines import MODES, TOKENIZER, random_artifact

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
WORDS = [*TOKENIZER.tokens[2:40], "zyzzyva", "Straße", "😀", "\u00e9", "e\u0301", "部电", "!!", "\ud800"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=15)


@cache
def artifact(
    mode: str = "rand", activation: str = "relu", truncation: str = "head", blocks: int = 1, characters: int = 0
) -> Artifact:
    """Reads at most 7 tokens of a text."""
    made = random_artifact(mode, activation, blocks=blocks, characters=characters)
    made.weights["encoder.embedding.weight" if mode != "static" else "encoder.embedding.fixed"][UNKNOWN_ID] = 0.1
    config = TextConfig.model_validate({"max_length": 7, "truncation": truncation})
    tokenizer = Tokenizer.from_json(TOKENIZER.to_json(), config, spelled="all" if characters else "none")
    return dataclasses.replace(made, tokenizer=tokenizer)


@cache
def engine(name: str, *args: Any, **options: Any) -> Any:
    return select_engine(artifact(*args), engine=name, options=EngineOptions(**options))


def explain(name: str, texts: list[str], *args: Any, target: int | None = None, **options: Any) -> list[Explanation]:
    made = artifact(*args)
    targets = None if target is None else np.full(len(texts), target)
    model = engine(name, *args, **options)
    return explain_texts(model, made.tokenizer, made.labels.names, texts, probabilities=softmax, targets=targets)


def check(text: str, explanation: Explanation) -> None:
    """It adds up, and its characters are those of the text."""
    total = explanation.bias + sum(ngram.contribution for ngram in explanation.ngrams) + explanation.rest
    assert total == pytest.approx(explanation.logit, abs=1e-5)
    assert [abs(n.contribution) for n in explanation.ngrams] == sorted(
        (abs(n.contribution) for n in explanation.ngrams), reverse=True
    )
    spans = [(ngram.start, ngram.end) for ngram in explanation.ngrams]
    assert len(set(spans)) == len(spans)
    for ngram in explanation.ngrams:
        assert 0 <= ngram.start < ngram.end <= len(text)
        if not ngram.cut:
            assert ngram.text == text[ngram.start : ngram.end]
        assert all(token.text == text[token.start : token.end] for token in ngram.tokens)
        if ngram.tokens:
            assert (ngram.start, ngram.end) == (ngram.tokens[0].start, ngram.tokens[-1].end)


@compiled
@pytest.mark.parametrize("truncation", ["head", "tail", "both"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("mode", MODES)
@settings(deadline=None, max_examples=25)
@given(texts=st.lists(TEXTS, max_size=4), target=st.sampled_from([None, 0, 2]))
def test_contributions_add_up_to_the_logit(
    mode: str, activation: str, truncation: str, texts: list[str], target: int | None
) -> None:
    explained = explain("ngram_table", texts, mode, activation, truncation, target=target)
    made = artifact(mode, activation, truncation)
    logits = engine("ngram_table", mode, activation, truncation).logits(made.tokenizer.encode(texts))
    assert len(explained) == len(texts)
    for text, row, explanation in zip(texts, logits, explained, strict=True):
        index = int(row.argmax()) if target is None else target
        assert (explanation.label, explanation.logit) == (made.labels.names[index], row[index])
        assert explanation.probability == pytest.approx(float(softmax(row[None])[0, index]))
        assert (explanation.method, explanation.exact, explanation.rest) == ("ngrams", True, 0.0)
        check(text, explanation)


@compiled
@pytest.mark.parametrize("options", [{}, {"table_budget": 2000}, {"table_precision": "int8"}], ids=str)
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("name", ["ngram_table", "torch"])
@settings(deadline=None, max_examples=20)
@given(texts=st.lists(TEXTS, max_size=5))
def test_evidence_as_columns_is_that_of_the_winning_windows_and_adds_up(
    name: str, activation: str, options: dict[str, Any], texts: list[str]
) -> None:
    model, tokenizer = engine(name, "rand", activation, **options), artifact("rand", activation).tokenizer
    assert isinstance(model, Direct) == (name == "ngram_table")
    found = list(evidence_of(model, tokenizer, texts))
    assert len(found) == bool(texts)
    for reading, targets, evidence in found:
        winners = model.winners(reading.batch)
        np.testing.assert_array_equal(targets, winners.logits.argmax(axis=1))
        expected, _ = ngram_evidence(reading.batch, winners, targets)
        for column in ("offsets", "starts", "ends", "contributions"):
            np.testing.assert_array_equal(getattr(evidence, column), getattr(expected, column))
        for row, target in enumerate(targets.tolist()):
            of_text = evidence.contributions[evidence.offsets[row] : evidence.offsets[row + 1]]
            assert winners.bias[target] + of_text.sum() == pytest.approx(winners.logits[row, target], abs=1e-5)


def by_hand(
    made: Artifact, batch: TokenBatch, target: int
) -> tuple[dict[Any, float], dict[Any, Any], dict[Any, float]]:
    """Contribution, parts of the tokens and part of the filters' biases by n-gram (first token, end): one text."""
    weights, spec = made.weights, made.config.model.blocks[0]
    widths = spec["filter_widths"]
    windows = Windows(tuple(widths), (spec["num_filters"],) * len(widths), "same")
    vectors, spell = word_vectors(made)
    if spell and batch.spelling and batch.spelling.characters:
        vectors = np.concatenate([vectors, spell(batch.spelling.characters.unknown)])
    vectors = vectors[batch.values].astype(np.float64)
    kernel, bias = weights["encoder.blocks.0.weight"], weights["encoder.blocks.0.bias"]
    activate = {"relu": lambda z: max(z, 0.0), "tanh": np.tanh, "identity": float}[spec["activation"]]
    whole: dict[Any, float] = defaultdict(float)
    biases: dict[Any, float] = defaultdict(float)
    parts: dict[Any, Any] = {}
    for width, filters, row, feature, left in windows.groups():
        for j in range(filters):
            sums = []
            for start in range(-left, len(vectors) - left):
                inside = [t for t in range(start, start + width) if 0 <= t < len(vectors)]
                added = [float(kernel[row + (t - start) * filters + j] @ vectors[t]) for t in inside]
                sums.append((sum(added), -start, inside, added))
            total, _, inside, added = max(sums)
            z = total + float(bias[feature + j])
            a, w = activate(z), float(weights["head.linear.weight"][target, feature + j])
            if a * w:
                key = (inside[0], inside[-1] + 1)
                whole[key] += w * a
                biases[key] += w * a / z * float(bias[feature + j])
                parts[key] = parts.get(key, 0.0) + w * a / z * np.array(added)
    return whole, parts, biases


@pytest.mark.parametrize("name", [pytest.param("ngram_table", marks=compiled), "torch"])
@pytest.mark.parametrize(("activation", "characters"), [("relu", 0), ("tanh", 0), ("identity", 0), ("relu", 3)])
@pytest.mark.parametrize(
    "text", ["where is my parcel", "parcel", "zyzzyva broken", "hello, again! the lamp is broken zyzzyva"]
)
def test_ngrams_and_their_tokens_are_those_found_by_hand(
    name: str, activation: str, characters: int, text: str
) -> None:
    made = artifact("multichannel", activation, characters=characters)
    reading = made.tokenizer.read([text])
    whole, parts, biases = by_hand(made, reading.batch, 1)
    (explanation,) = explain(name, [text], "multichannel", activation, "head", 1, characters, target=1)
    places = {(a, b): (int(reading.spans[a, 0]), int(reading.spans[b - 1, 1])) for a, b in whole}
    assert sorted(places.values()) == sorted((n.start, n.end) for n in explanation.ngrams)
    found = {(ngram.start, ngram.end): ngram for ngram in explanation.ngrams}
    for key, place in places.items():
        ngram = found[place]
        assert ngram.contribution == pytest.approx(whole[key], abs=1e-5)
        assert [token.contribution for token in ngram.tokens] == pytest.approx(parts[key].tolist(), abs=1e-5)
        made_up = sum(token.contribution for token in ngram.tokens) + biases[key]
        assert made_up == pytest.approx(ngram.contribution, abs=1e-5)
        unknown = [token.contribution for token in ngram.tokens if token.text == "zyzzyva"]
        assert [token.known for token in ngram.tokens] == [token.text != "zyzzyva" for token in ngram.tokens]
        assert ngram.unknown == pytest.approx(sum(unknown))


@compiled
@pytest.mark.parametrize(
    ("precision", "budget"), [("float16", 1 << 30), ("int8", 1 << 30), ("float32", 1000), ("int8", 0)]
)
def test_smaller_tables_are_explained_as_they_answer(precision: str, budget: int) -> None:
    options = {"table_precision": precision, "table_budget": budget}
    texts = ["where is my parcel", "", "the lamp is broken again! zyzzyva 😀 please"] * 30
    logits = engine("ngram_table", **options).logits(artifact().tokenizer.encode(texts))
    for text, row, explanation in zip(texts, logits, explain("ngram_table", texts, **options), strict=True):
        check(text, explanation)
        assert explanation.logit == row.max()
        bias = artifact().weights["encoder.blocks.0.bias"]
        for ngram in explanation.ngrams:
            left = ngram.contribution - sum(token.contribution for token in ngram.tokens)
            assert abs(left) <= np.abs(bias).sum()


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(TEXTS, max_size=3))
def test_several_layers_are_exact_too_but_their_words_cannot_be_told_apart(texts: list[str]) -> None:
    for activation in ("relu", "tanh"):
        explained = explain("torch", texts, "rand", activation, "both", 2)
        for text, explanation in zip(texts, explained, strict=True):
            check(text, explanation)
            assert explanation.exact
            assert not any(ngram.tokens for ngram in explanation.ngrams)


@compiled
def test_what_truncation_cut_out_of_an_ngram_is_told() -> None:
    text = "hello, where is my parcel I ordered the lamp since monday again!"
    (explanation,) = explain("ngram_table", [text], "rand", "identity", "both")
    assert explanation.unread is not None
    start, end = explanation.unread
    kept = [text[a:b] for a, b in artifact("rand", "identity", "both").tokenizer.encode_with_spans(text)[1]]
    assert (kept[3], kept[4]) == (text[:start].split()[-1], text[end:].split()[0])
    over = [ngram for ngram in explanation.ngrams if ngram.cut]
    assert over
    for ngram in over:
        assert ngram.start < start < end < ngram.end
        left, right = ngram.text.split(" … ")
        assert text[ngram.start : start].startswith(left) and text[end : ngram.end].endswith(right)
        assert all(token.end <= start or token.start >= end for token in ngram.tokens)
    for ngram in set(explanation.ngrams) - set(over):
        assert ngram.end <= start or ngram.start >= end


@compiled
@pytest.mark.parametrize(("truncation", "unread"), [("head", "since monday"), ("tail", "hello ,")])
def test_what_was_not_read_is_told(truncation: str, unread: str) -> None:
    text = "hello , where is my parcel please since monday"
    (explanation,) = explain("ngram_table", [text], "rand", "relu", truncation)
    start, end = explanation.unread or (0, 0)
    assert text[start:end] == unread
    assert not any(ngram.cut for ngram in explanation.ngrams)
    (short,) = explain("ngram_table", ["my parcel"], "rand", "relu", truncation)
    assert short.unread is None


def test_an_empty_text_has_nothing_but_the_bias() -> None:
    for name in ("torch", *(["ngram_table"] if native() else [])):
        (explanation,) = explain(name, [""])
        assert (explanation.ngrams, explanation.rest) == ((), 0.0)
        assert explanation.logit == explanation.bias
        assert explain(name, []) == []


def test_the_strongest_are_kept_and_the_rest_is_counted(classifier: TextClassifier) -> None:
    text = "hello, where is my parcel since monday"
    (whole,) = classifier.explain([text])
    (some,) = classifier.explain([text], top_n=2)
    (none,) = classifier.explain([text], top_n=0)
    assert some.ngrams == whole.ngrams[:2]
    assert some.rest == pytest.approx(sum(ngram.contribution for ngram in whole.ngrams[2:]))
    assert none.bias + none.rest == pytest.approx(none.logit, abs=1e-5)
    for explanation in (whole, some, none):
        check(text, explanation)


def test_labels_are_the_predicted_ones_or_those_asked_for(classifier: TextClassifier) -> None:
    texts = ["where is my parcel", "charged twice"]
    assert [e.label for e in classifier.explain(texts)] == classifier.predict(texts)
    assert [e.label for e in classifier.explain(texts, labels="repair")] == ["repair", "repair"]
    both = classifier.explain(texts, labels=["repair", "billing"])
    assert [e.label for e in both] == ["repair", "billing"]
    probabilities = classifier.predict_proba(texts)
    assert both[0].probability == pytest.approx(probabilities[0, classifier.labels.index("repair")])


def test_mistakes_are_told(classifier: TextClassifier) -> None:
    with pytest.raises(LabelError, match="'repairs'; did you mean 'repair'"):
        classifier.explain(["a"], labels="repairs")
    with pytest.raises(DataError, match="2 labels for 1 texts"):
        classifier.explain(["a"], labels=["repair", "repair"])
    with pytest.raises(DataError, match="give a list of texts"):
        classifier.explain("a text")
    with pytest.raises(ValueError, match="top_n is -1"):
        classifier.explain(["a"], top_n=-1)


def test_an_explanation_is_plain_json(classifier: TextClassifier) -> None:
    (whole,) = classifier.explain(["hello, where is my parcel since monday"])
    values = whole.to_dict()
    total = values["bias"] + sum(ngram["contribution"] for ngram in values["ngrams"]) + values["rest"]
    assert total == pytest.approx(values["logit"], abs=1e-5)
    assert pickle.loads(pickle.dumps(whole)) == whole  # noqa: S301  what was pickled is in the line
    (explanation,) = classifier.explain(["where is my parcel"], top_n=1)
    values = json.loads(json.dumps(explanation.to_dict()))
    assert values == explanation.to_dict()
    # what is there for several texts only
    assert list(values) == [field.name for field in dataclasses.fields(Explanation) if field.name != "unread_segment"]
    (ngram,) = values["ngrams"]
    assert list(ngram) == ["start", "end", "text", "contribution", "tokens", "cut"]
    assert list(ngram["tokens"][0]) == ["start", "end", "text", "contribution", "known"]


@compiled
def test_a_text_is_explained_alike_alone_and_among_others(classifier: TextClassifier) -> None:
    texts = ["where is my parcel", "", "my invoice again!", "zyzzyva", "the screen stays dark"]
    together = classifier.explain(texts)
    assert together == [classifier.explain([text])[0] for text in texts]


QRNN = {"type": "qrnn", "hidden_dim": 6, "bidirectional": True}


def test_where_nothing_adds_up_words_are_left_out_and_the_answer_says_so() -> None:
    made = random_artifact(block=QRNN)
    for name in ("qrnn_table", "torch") if native() else ("torch",):
        model = select_engine(made, engine=name)
        texts = ["where is my parcel", "", "parcel"]
        explained = explain_texts(model, made.tokenizer, made.labels.names, texts, probabilities=softmax)
        logits = model.logits(made.tokenizer.encode(texts))
        for text, row, explanation in zip(texts, logits, explained, strict=True):
            assert (explanation.method, explanation.exact) == ("occlusion", False)
            assert explanation.logit == row.max()
            check(text, explanation)
            assert explanation.faithfulness is not None
            index = int(row.argmax())
            for ngram in explanation.ngrams:
                without = model.logits(made.tokenizer.encode([text[: ngram.start] + " " + text[ngram.end :]]))
                assert ngram.contribution == pytest.approx(float(row[index] - without[0, index]), abs=1e-5)


def other_network(**model: Any) -> Artifact:
    """An untrained network of other parts."""
    config = resolve({"model": {"embedding": {"dim": 8}, **model}})
    torch.manual_seed(0)
    network = build_network(config, vocabulary=len(TOKENIZER), num_classes=3)
    for param in network.parameters():
        torch.nn.init.normal_(param, std=0.5)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return Artifact(config, random_artifact().labels, TOKENIZER, weights, {})


CONV = {"type": "kim_conv", "filter_widths": [2, 3], "num_filters": 4}
LONG = "hello, where is my parcel since monday"


@pytest.mark.parametrize(
    "blocks",
    [
        [{**CONV, "activation": "tanh"}, {**CONV, "activation": "tanh"}],
        [{**CONV, "stride": 2}],
        [{**CONV, "dilation": 3}, {"type": "batch_norm"}],
        [CONV, {"type": "residual", "blocks": [{**CONV, "num_filters": 8}]}],
        [{"type": "parallel", "branches": [[CONV], [CONV, {"type": "local_max", "stride": 1, "padding": "same"}]]}],
        [{"type": "local_max"}, CONV],
    ],
    ids=str,
)
def test_an_ngram_of_several_layers_holds_every_token_that_changes_the_activation(blocks: list[dict[str, Any]]) -> None:
    made = other_network(blocks=blocks)
    model = select_engine(made, engine="torch")
    ids = made.tokenizer.encode(["hello, where is my parcel since monday i ordered the lamp"])
    before = model.winners(ids)
    assert before is not None
    for t in range(len(ids.values)):
        values = ids.values.copy()
        values[t] = made.tokenizer.id_of("broken")
        after = model.winners(TokenBatch(values, ids.offsets))
        assert after is not None
        outside = (t < before.starts) | (t >= before.ends)
        assert outside.any()
        # a filter that never saw the token can only rise, at another window
        assert (after.activations[outside] >= before.activations[outside] - 1e-6).all()


@pytest.mark.parametrize(
    ("model", "words_apart"),
    [
        ({"head": {"type": "multi_label"}}, True),
        ({"head": {"type": "multi_task", "tasks": {"a": 1, "b": 2}}}, True),
        ({"blocks": [{**CONV, "activation": "sigmoid"}]}, False),
        ({"blocks": [{**CONV, "activation": "elu"}]}, True),
        ({"blocks": [{**CONV, "padding": "wide"}]}, True),
        ({"blocks": [{**CONV, "padding": "valid", "dilation": 2}]}, False),
        ({"blocks": [{"type": "kim_conv", "filter_widths": [1, 4], "padding": "valid", "stride": 2}]}, False),
        ({"pooling": {"type": "k_max", "k": 3}}, False),
        ({"pooling": {"type": "adaptive_max", "chunks": 3}}, False),
        ({"pooling": {"type": "concatenate", "poolings": [{"type": "max_over_time"}, {"type": "k_max"}]}}, False),
        ({"blocks": [CONV, {"type": "residual", "blocks": [{"type": "pointwise_conv", "num_filters": 8}]}]}, False),
        (
            {
                "blocks": [
                    {
                        "type": "parallel",
                        "branches": [[CONV], [CONV, {"type": "local_max", "stride": 1, "padding": "same"}]],
                    }
                ]
            },
            False,
        ),
    ],
    ids=str,
)
def test_other_networks_that_add_up_ngrams_are_exact(model: dict[str, Any], words_apart: bool) -> None:
    made = other_network(**{"blocks": [CONV], **model})
    texts = [LONG, "", "parcel", "my parcel", "hello, hello, hello,"]
    for name in ("torch", "auto"):
        engine = select_engine(made, engine=name)
        found = partial(probabilities, head=made.config.model.head, calibration=Calibration())
        for target in range(3):
            explained = explain_texts(
                engine, TOKENIZER, made.labels.names, texts, probabilities=found, targets=np.full(len(texts), target)
            )
            logits = engine.logits(TOKENIZER.encode(texts))[:, target]
            for text, logit, explanation in zip(texts, logits, explained, strict=True):
                check(text, explanation)
                assert explanation.exact
                assert explanation.logit == pytest.approx(float(logit), abs=1e-5)
                assert all(bool(ngram.tokens) == words_apart for ngram in explanation.ngrams)


@pytest.mark.parametrize(
    "model",
    [
        {"head": {"type": "single_label", "hidden_dim": 5}},
        {"pooling": {"type": "average"}},
        {"blocks": [{**CONV, "padding": "valid"}], "pooling": {"type": "k_max"}},
        {"blocks": [{**CONV, "padding": "wide"}, CONV]},
        {"pooling": {"type": "concatenate", "poolings": [{"type": "max_over_time"}, {"type": "average"}]}},
        {"blocks": [{**CONV, "filter_widths": [21]}]},
        {"blocks": [{"type": "qrnn", "hidden_dim": 4}, CONV]},
    ],
    ids=str,
)
def test_networks_whose_ngrams_do_not_add_up_or_explain_nothing_are_occluded(model: dict[str, Any]) -> None:
    made = other_network(**{"blocks": [CONV], **model})
    (explanation,) = explain_texts(
        select_engine(made, engine="torch"), TOKENIZER, made.labels.names, [LONG], probabilities=softmax
    )
    check(LONG, explanation)
    assert explanation.method == "occlusion"


def test_faithfulness_is_the_area_below_the_curves() -> None:
    """A network that counts one word: the right order finds it at once, both ways."""

    class Counting:
        def logits(self, batch: TokenBatch) -> Any:
            counts = np.array([(text == 5).sum() for text in batch], np.float32)
            return np.stack([np.zeros_like(counts), 100 * (counts - 0.5)], 1)

        def winners(self, batch: TokenBatch) -> None:
            return None

    made = artifact()
    words = [made.tokenizer.tokens[number] for number in (4, 5, 6, 7, 4, 6, 7)]
    (explanation,) = explain_texts(Counting(), made.tokenizer, ("a", "b"), [" ".join(words)], probabilities=softmax)
    assert [(n.text, n.contribution) for n in explanation.ngrams if n.contribution] == [(words[1], 100.0)]
    assert explanation.faithfulness is not None
    # probability 1 until the word goes, at the first of ten steps; the trapezoid has half a step
    assert explanation.faithfulness.deletion == pytest.approx(0.05)
    assert explanation.faithfulness.insertion == pytest.approx(0.95)


def test_long_texts_are_occluded_by_runs_of_tokens() -> None:
    from textcnn.explain.occlusion import MOST_UNITS, occlude

    text = TokenBatch(np.arange(1, 1001, dtype=np.int32), np.array([0, 1000]))

    def logits(batch: TokenBatch) -> Any:
        return np.array([[0.0, float((text == 777).any())] for text in batch], np.float32)

    found = occlude(logits, text, softmax)
    assert len(found.contributions) == MOST_UNITS
    (unit,) = np.flatnonzero(found.contributions)
    assert found.starts[unit] <= 776 < found.ends[unit]
    assert (found.starts[0], found.ends[-1]) == (0, 1000)
    assert (found.starts[1:] == found.ends[:-1]).all()


def test_occlusion_leaves_out_words_and_never_a_break() -> None:
    from textcnn.explain.occlusion import occlude

    text = TokenBatch.from_lists([[2, 3, BREAK_ID, 4, BREAK_ID]])
    seen: list[list[int]] = []

    def logits(batch: TokenBatch) -> Any:
        seen.extend(text.tolist() for text in batch)
        return np.array([[0.0, float((text == 4).any())] for text in batch], np.float32)

    found = occlude(logits, text, softmax)
    assert (found.starts.tolist(), found.ends.tolist()) == ([0, 1, 3], [1, 2, 4])
    assert found.contributions.tolist() == [0.0, 0.0, 1.0]
    assert all(text.count(BREAK_ID) == 2 for text in seen)
    assert [BREAK_ID, BREAK_ID] in seen and [2, 3, BREAK_ID, 4, BREAK_ID] in seen
