"""Two towers and document networks from end to end: fit, answer, explain, save, load; and what they refuse."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.build import resolve
from textcnn.errors import ConfigError, DataError, EngineError
from textcnn.inference.segment_table import split_segments
from textcnn.kernels.native import native
from textcnn.nn.ragged import Distinct
from textcnn.registry import HEADS
from textcnn.train.pretrain import pretrain_encoder
from textcnn.types import TokenBatch

from ..conftest import TINY, tiny_corpus

TEXTS, TOPICS = tiny_corpus(120)
LABELS: dict[str, Any] = {
    "single_label": TOPICS,
    "ordinal": TOPICS,
    "hierarchy": [f"shop/{topic}" if topic != "repair" else "repair" for topic in TOPICS],
    "multi_label": [(topic, "shop") if topic != "repair" else (topic,) for topic in TOPICS],
    "multi_task": {"topic": TOPICS, "shop": ["no" if topic == "repair" else "yes" for topic in TOPICS]},
}
PAIRS = [(text, " ".join(reversed(text.split()))) for text in TEXTS]
PLAIN = [re.sub("[^a-z0-9 ]", "", text).capitalize() for text in TEXTS]
DOCUMENTS = [f"Hello there. {text}. That is all, thanks!" for text in PLAIN]
GIVEN: dict[str, Any] = {"columns": PAIRS, "sentences": DOCUMENTS}
EMPTY: dict[str, Any] = {"columns": [("", ""), ("", "x")], "sentences": ["", "..."]}


def fitted(segments: str, head: str = "single_label", **sections: Any) -> TextClassifier:
    config = {
        "text": {"segments": segments},
        "model": {**TINY["model"], "head": {"type": head, "max_norm": 0.0}, **sections.pop("model", {})},
        "train": {**TINY["train"], "max_epochs": 6, **sections.pop("train", {})},
        **sections,
    }
    return TextClassifier(config).fit(GIVEN[segments], LABELS[head])


compiled = pytest.mark.skipif(native() is None, reason="the tables are for the compiled kernels")


@pytest.fixture(scope="module")
def towers() -> TextClassifier:
    return fitted("columns")


@pytest.fixture(scope="module")
def document() -> TextClassifier:
    return fitted("sentences")


@pytest.mark.parametrize("head", HEADS.names())
@pytest.mark.parametrize("segments", ["columns", "sentences"])
def test_every_head_learns_and_answers_the_same_when_loaded(segments: str, head: str, tmp_path: Path) -> None:
    model = fitted(segments, head)
    assert model.evaluate(GIVEN[segments], LABELS[head])["accuracy"] > 0.9
    model.save(tmp_path / "m" / "1")
    again = TextClassifier.load(tmp_path / "m" / "1")
    some = [*GIVEN[segments][:5], *EMPTY[segments]]
    together = model.predict_proba(some)
    np.testing.assert_array_equal(again.predict_proba(some), together)
    for row, text in enumerate(some):
        np.testing.assert_allclose(again.predict_proba([text])[0], together[row], atol=1e-6)
    assert again.classify(some) == model.classify(some)
    (explanation,) = again.explain(some[:1])
    assert explanation.method == "occlusion" and explanation.faithfulness is not None


def test_towers_tell_what_no_bag_of_joined_words_can() -> None:
    """(a b, b a) against (a a, b b): joined, the words and their counts are the same."""
    choose = random.Random(0)
    rows, labels = [], []
    for number in range(600):
        x, y = choose.sample([f"w{i}" for i in range(8)], 2)
        same = number % 2 == 0
        rows.append((f"{x} {y}", f"{y} {x}") if same else (f"{x} {x}", f"{y} {y}"))
        labels.append("same" if same else "other")
    config: dict[str, Any] = {
        "model": {
            "embedding": {"dim": 16},
            "blocks": [{"type": "kim_conv", "filter_widths": [1], "num_filters": 16}],
            "head": {"dropout": 0.0},
        },
        "train": {"max_epochs": 8, "learning_rate": 0.02},
    }
    joined = TextClassifier(config).fit([" ".join(row) for row in rows[:400]], labels[:400])
    assert joined.score([" ".join(row) for row in rows[400:]], labels[400:]) == pytest.approx(0.5, abs=0.1)
    towers = TextClassifier({**config, "text": {"segments": "columns"}}).fit(rows[:400], labels[:400])
    assert towers.score(rows[400:], labels[400:]) == 1.0


def test_records_may_be_tuples_lists_arrays_or_joined(towers: TextClassifier) -> None:
    expected = towers.predict_proba(PAIRS[:4])
    others: list[Any] = [
        [list(pair) for pair in PAIRS[:4]],
        np.array(PAIRS[:4]),
        ["\x1f".join(pair) for pair in PAIRS[:4]],
    ]
    for given in others:
        np.testing.assert_array_equal(towers.predict_proba(given), expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a b"], r"text 0 is one text, expected 2 together: \(text, text\)"),
        ([("a", "b"), ("a", "b", "c")], "text 1 is 3 texts, expected 2"),
        ([("a", 3)], r"text 0 is \('a', 3\) \(tuple\), expected 2 strings"),
        ([None], r"text 0 is None \(NoneType\), expected 2 strings"),
    ],
)
def test_what_is_no_record_is_refused_by_its_place(towers: TextClassifier, texts: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        towers.predict(texts)


def test_records_are_refused_where_one_text_is_read(document: TextClassifier) -> None:
    with pytest.raises(DataError, match="expected a string; texts of several columns are for a model with"):
        document.predict([("a", "b")])
    with pytest.raises(DataError, match="expected a string"):
        TextClassifier(TINY).fit(PAIRS, TOPICS)
    with pytest.raises(DataError, match="compares texts of one record, but text 0 is one text"):
        TextClassifier({"text": {"segments": "columns"}}).fit(TEXTS, TOPICS)
    with pytest.raises(DataError, match="text 1 is 3 texts, expected 2"):
        TextClassifier({"text": {"segments": "columns"}}).fit([("a", "b"), ("a", "b", "c")], ["x", "y"])
    with pytest.raises(ConfigError, match="model.join.texts is 3, but a record of the data has 2 texts"):
        fitted("columns", model={"join": {"type": "compare", "texts": 3}})


def test_three_texts_are_compared_two_by_two() -> None:
    rows = [(*pair, "thanks") for pair in PAIRS]
    model = TextClassifier({**TINY, "text": {"segments": "columns"}}).fit(rows, TOPICS)
    assert model.texts_per_record == 3
    assert model.artifact_.weights["head.linear.weight"].shape == (3, 9 * 16)
    assert model.score(rows, TOPICS) > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": {"join": {"type": "document"}}},
            "model.join is 'document', which joins sentences: set text.segments",
        ),
        (
            {"text": {"segments": "sentences"}, "model": {"join": {"type": "compare"}}},
            "which joins columns: set text.segments to 'columns', not 'sentences'",
        ),
        ({"text": {"segments": "rows"}}, "text.segments"),
        ({"text": {"language": "german"}}, "text.language"),
        ({"text": {"segments": "columns"}, "model": {"join": {"type": "cmp"}}}, "unknown join 'cmp'.*known: compare"),
        ({"text": {"segments": "columns"}, "model": {"join": {"texts": 1}}}, "model.join.texts"),
        ({"text": {"segments": "columns"}, "data": {"text_columns": ["a"]}}, "data.text_columns has 'a' alone"),
        (
            {"text": {"segments": "sentences"}, "model": {"auxiliary": {"blocks": [0]}}},
            "model.auxiliary answers for whole texts",
        ),
        (
            {
                "text": {"segments": "sentences"},
                "model": {
                    "join": {"blocks": [{"type": "residual", "blocks": [{"type": "kim_conv", "stride": 2}]}]},
                },
            },
            r"model.join \(document\), of vectors of 300 numbers: the blocks inside a residual make",
        ),
    ],
)
def test_what_does_not_fit_together_is_told_before_training(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(settings)


CONV = {"type": "kim_conv", "num_filters": 6}
TABLED: list[tuple[str, dict[str, Any]]] = [
    ("columns", {}),
    ("columns", {"blocks": [{**CONV, "filter_widths": [1, 4], "activation": "elu", "padding": "wide"}]}),
    ("sentences", {}),
    ("sentences", {"join": {"type": "document", "blocks": [{**CONV, "filter_widths": [2], "activation": "tanh"}]}}),
    ("sentences", {"join": {"type": "document", "blocks": [{**CONV, "filter_widths": [1, 3], "padding": "valid"}]}}),
    (
        "sentences",
        {
            "blocks": [{**CONV, "filter_widths": [1, 2], "groups": 2}],
            "join": {"type": "document", "blocks": [{**CONV, "filter_widths": [2], "groups": 3}]},
        },
    ),
]


@compiled
@pytest.mark.parametrize(("segments", "model"), TABLED)
def test_tables_give_what_the_network_gives_and_the_same_bits_alone(
    segments: str, model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = fitted(segments, model=model, train={"max_epochs": 2})
    assert trained.engine_name == "segment_table"
    trained.save(tmp_path / "m" / "1")
    reference = TextClassifier.load(tmp_path / "m", engine="torch")
    some = [*GIVEN[segments], *EMPTY[segments], *GIVEN[segments][:7]]
    together = trained.predict_proba(some)
    np.testing.assert_allclose(together, reference.predict_proba(some), atol=1e-5)
    for row, text in enumerate(some):
        np.testing.assert_array_equal(trained.predict_proba([text])[0], together[row])
    monkeypatch.setattr("textcnn.inference.segment_table.RECORDS_AT_ONCE", 10)
    np.testing.assert_array_equal(trained.predict_proba(some), together)
    assert TextClassifier.load(tmp_path / "m", table_budget=1000).predict(some) == trained.predict(some)


@pytest.mark.parametrize("keep_empty", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_both_engines_see_the_same_segments(seed: int, keep_empty: bool) -> None:
    choose = np.random.default_rng(seed)
    batch = TokenBatch.from_lists([choose.integers(0, 3, choose.integers(0, 9)).tolist() for _ in range(6)])
    found, bounds = split_segments(batch, keep_empty=keep_empty)
    expected, places = Distinct(3)(batch).segments()
    lengths = expected.offsets.diff()
    kept = lengths >= (0 if keep_empty else 1)
    assert found.values.tolist() == expected.values.tolist()
    assert found.lengths.tolist() == lengths[kept].tolist()
    assert bounds.tolist() == [int(kept[:place].sum()) for place in places]


@compiled
@pytest.mark.parametrize(
    ("segments", "model", "reason"),
    [
        ("columns", {"blocks": [{"type": "qrnn", "hidden_dim": 4}]}, "it needs exactly one kim_conv block"),
        ("columns", {"head": {"type": "single_label", "hidden_dim": 4}}, "a head without hidden layer"),
        (
            "sentences",
            {"join": {"type": "document", "blocks": [{"type": "qrnn", "hidden_dim": 4}]}},
            "of the sentences' level: it needs exactly one kim_conv block, the model has qrnn",
        ),
        (
            "sentences",
            {"join": {"type": "document", "pooling": {"type": "attention"}}},
            "of the sentences' level: it needs pooling max_over_time, the model has attention",
        ),
    ],
)
def test_a_segment_table_says_what_it_cannot_run_and_torch_runs_it(
    segments: str, model: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    trained = fitted(segments, model=model, train={"max_epochs": 1})
    assert trained.engine_name == "torch"
    trained.save(tmp_path / "m" / "1")
    with pytest.raises(EngineError, match=reason):
        TextClassifier.load(tmp_path / "m", engine="segment_table")


@compiled
def test_other_tables_say_why_they_cannot(towers: TextClassifier, tmp_path: Path) -> None:
    towers.save(tmp_path / "m" / "1")
    for engine in ("ngram_table", "qrnn_table"):
        with pytest.raises(EngineError, match="it reads texts as a whole, and the model joins columns"):
            TextClassifier.load(tmp_path / "m", engine=engine)
    with pytest.raises(EngineError, match="filters are shown for one convolution only"):
        towers.filters()
    TextClassifier(TINY).fit(TEXTS, TOPICS).save(tmp_path / "plain" / "1")
    with pytest.raises(EngineError, match="it joins segments, and the model reads texts as a whole"):
        TextClassifier.load(tmp_path / "plain", engine="segment_table")


def test_words_of_a_record_say_which_text_they_are_in(towers: TextClassifier) -> None:
    pair = PAIRS[0]
    (explanation,) = towers.explain([pair])
    assert {ngram.segment for ngram in explanation.ngrams} == {0, 1}
    for ngram in explanation.ngrams:
        assert pair[ngram.segment or 0][ngram.start : ngram.end] == ngram.text
    joined = "\x1f".join(pair)
    for ngram in explanation.in_record(joined).ngrams:
        assert joined[ngram.start : ngram.end] == ngram.text and ngram.segment is None
    total = explanation.bias + sum(ngram.contribution for ngram in explanation.ngrams) + explanation.rest
    assert total == pytest.approx(explanation.logit, abs=1e-5)


def test_characters_that_were_cut_say_of_which_text() -> None:
    model = fitted("columns", text={"segments": "columns", "max_length": 3})
    pair = ("one", "a b c d e")
    (explanation,) = model.explain([pair])
    assert explanation.unread is not None and explanation.unread_segment == 1
    assert pair[1][slice(*explanation.unread)] == "d e"
    assert explanation.to_dict()["unread_segment"] == 1
    whole = explanation.in_record("\x1f".join(pair))
    assert whole.unread == (10, 13) and whole.unread_segment is None
    (read,) = model.explain([("one", "two")])
    assert read.unread is None and "unread_segment" not in read.to_dict()


def test_long_records_are_explained_by_runs_that_stay_in_one_text(towers: TextClassifier) -> None:
    pair = (" ".join(["parcel"] * 301), " ".join(["invoice"] * 302))
    (explanation,) = towers.explain([pair])
    assert 200 < len(explanation.ngrams) <= 260
    assert all("parcel" not in ngram.text or "invoice" not in ngram.text for ngram in explanation.ngrams)
    assert sum(len(ngram.text.split()) for ngram in explanation.ngrams) == 603


def test_sentences_that_carry_the_label_are_chosen_by_leaving_each_out(document: TextClassifier) -> None:
    chosen = [summary.sentences[0].text for summary in document.summarize(DOCUMENTS, sentences=1)]
    of_interest = sum(text in sentence for text, sentence in zip(PLAIN, chosen, strict=True))
    assert of_interest > 100
    (summary,) = document.summarize(["Hello there. My invoice is wrong. That is all, thanks!"])
    whole, *without = document.predict_proba(
        [
            "Hello there. My invoice is wrong. That is all, thanks!",
            "My invoice is wrong. That is all, thanks!",
            "Hello there. That is all, thanks!",
            "Hello there. My invoice is wrong.",
        ]
    )
    logits = np.log(np.stack([whole, *without]).astype(np.float64)) * document.artifact_.calibration.temperature
    target = int(whole.argmax())
    rival = int(np.delete(whole, target).argmax())
    rival += rival >= target
    lost = (logits[0, target] - logits[0, rival]) - (logits[1:, target] - logits[1:, rival])
    found = {sentence.text: sentence.contribution for sentence in summary.sentences}
    sentences = ["Hello there.", "My invoice is wrong.", "That is all, thanks!"]
    for sentence, expected in zip(sentences, lost.tolist(), strict=True):
        if sentence in found:
            assert found[sentence] == pytest.approx(expected, abs=1e-3)
    assert found


def test_what_is_about_one_text_is_refused_for_records(towers: TextClassifier, document: TextClassifier) -> None:
    with pytest.raises(DataError, match="a summary is of one text; this model reads 2 together"):
        towers.summarize(PAIRS[:1])
    with pytest.raises(DataError, match="a counterfactual is of one text"):
        towers.counterfactuals(PAIRS[:1])
    (found,) = document.counterfactuals(DOCUMENTS[:1])
    assert found is None or document.predict([found.text]) == [found.label]


def test_training_is_the_same_for_the_same_seed_and_goes_with_the_rest() -> None:
    train = {"mixup": 0.2, "augmentations": [{"type": "swap"}, {"type": "deletion"}, {"type": "word_dropout"}]}
    first, second = (fitted("columns", train=train) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(PAIRS), second.predict_proba(PAIRS))
    assert fitted("sentences", train={"r_drop": 0.5, "ema": 0.9}).score(DOCUMENTS, TOPICS) > 0.5


def test_a_document_network_starts_from_a_network_of_whole_texts(tmp_path: Path) -> None:
    TextClassifier(TINY).fit(TEXTS, TOPICS).save(tmp_path / "plain" / "1")
    config = {"text": {"segments": "sentences"}, "train": {**TINY["train"], "start_from": str(tmp_path / "plain")}}
    model = TextClassifier(config).fit(DOCUMENTS, TOPICS)
    assert model.artifact_.config.model.join["type"] == "document"
    assert model.score(DOCUMENTS, TOPICS) > 0.9


def test_pre_training_reads_whole_texts() -> None:
    with pytest.raises(ConfigError, match="pre-training reads whole texts, and text.segments is 'sentences'"):
        pretrain_encoder({"text": {"segments": "sentences"}}, TEXTS)


def test_models_of_before_read_as_before() -> None:
    config = resolve({}).model_dump()
    del config["text"]["segments"], config["text"]["language"], config["model"]["join"]
    assert resolve(config) == resolve({})
