"""A linear classifier on n-grams beside the network: one model, in every engine, with all of its evidence."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from textcnn import TextClassifier
from textcnn.artifact import read_artifact, write_artifact
from textcnn.build import resolve
from textcnn.config import RunConfig, WideConfig, merge
from textcnn.errors import ArtifactError, ConfigError
from textcnn.explain.explainer import evidence_of
from textcnn.inference.select import select_engine
from textcnn.inference.wide import network_engine
from textcnn.kernels.character_ngrams import CharacterNgrams, character_ngrams
from textcnn.kernels.native import native
from textcnn.kernels.ngram_linear import ID_BITS, NgramLinear, ngrams, token_ids
from textcnn.registry import HEADS
from textcnn.text.spelling import letters_of
from textcnn.text.tokenizers import Tokenizer
from textcnn.train.progress import Progress
from textcnn.train.wide import _count, weigh
from textcnn.types import TokenBatch

from ..conftest import TINY, tiny_corpus

TEXTS, TOPICS = tiny_corpus()
ASKED = [*tiny_corpus(20, seed=4)[0], "", "parcel", "zyzzyva parcel zyzzyva", "hello, " * 30]
WIDE = {"ngrams": 3}
LABELS: dict[str, Any] = {
    "single_label": TOPICS,
    "ordinal": TOPICS,
    "hierarchy": [f"all/{topic}" for topic in TOPICS],
    "multi_label": [[topic] * (row % 4 > 0) for row, topic in enumerate(TOPICS)],
    "multi_task": {"topic": TOPICS, "odd": [["", "yes", "no"][row % 3] for row in range(len(TOPICS))]},
}


def fit(wide: dict[str, Any] | None = None, *, head: str = "single_label", **sections: Any) -> TextClassifier:
    model = {**TINY["model"], "wide": WIDE if wide is None else wide, "head": {"type": head}}
    given = {**TINY, "model": {**model, **sections.pop("model", {})}, **sections}
    return TextClassifier(given).fit(TEXTS, LABELS[head])


@pytest.fixture(scope="module")
def wide() -> TextClassifier:
    """Do not change it."""
    return fit()


@pytest.mark.parametrize("head", HEADS.names())
def test_every_linear_head_has_it_and_answers_the_same_when_loaded_and_in_torch(head: str, tmp_path: Path) -> None:
    model = fit(head=head, data={"validation_fraction": 0.2})
    assert model.artifact_.wide is not None
    model.save(tmp_path / "1")
    asked = model.predict_proba(ASKED)
    np.testing.assert_array_equal(TextClassifier.load(tmp_path / "1").predict_proba(ASKED), asked)
    np.testing.assert_allclose(
        TextClassifier.load(tmp_path / "1", engine="torch").predict_proba(ASKED), asked, atol=1e-5
    )
    wanted = {"multi_label": (TOPICS[1],), "multi_task": {"topic": TOPICS[1], "odd": "yes"}}
    assert model.predict(TEXTS[1:2]) == [wanted[head] if head in wanted else LABELS[head][1]]
    assert model.metrics_["wide"]["together"]["loss"] <= model.metrics_["wide"]["network_alone"]["loss"] + 1e-3


def test_the_logits_are_those_of_the_network_and_of_n_grams(wide: TextClassifier) -> None:
    batch = wide.artifact_.tokenizer.encode(ASKED)
    for name in ("ngram_table", "torch"):
        engine = select_engine(wide.artifact_, engine=name)
        alone = network_engine(engine).logits(batch.unspelled())
        linear = np.zeros_like(alone)
        assert wide.artifact_.wide is not None
        wide.artifact_.wide.add_logits(batch, linear)
        np.testing.assert_allclose(engine.logits(batch), alone + linear, atol=1e-6)
        assert np.abs(linear).max() > 0.1
        for row, text in enumerate(ASKED):
            if name == "ngram_table":
                one = wide.artifact_.tokenizer.encode([text])
                np.testing.assert_array_equal(engine.logits(one)[0], engine.logits(batch)[row])


@pytest.mark.parametrize("engine", ["ngram_table", "torch"])
@pytest.mark.parametrize("label", [None, "repair"])
def test_what_n_grams_add_is_the_whole_logit(
    wide: TextClassifier, tmp_path: Path, engine: str, label: str | None
) -> None:
    wide.save(tmp_path / "1")
    model = TextClassifier.load(tmp_path / "1", engine=engine)
    for top_n in (None, 2):
        explained = model.explain(ASKED, labels=label, top_n=top_n)
        for one, predicted in zip(explained, model.predict(ASKED), strict=True):
            assert (one.method, one.exact, one.label) == ("ngrams", True, label or predicted)
            total = one.bias + sum(ngram.contribution for ngram in one.ngrams) + one.rest
            assert total == pytest.approx(one.logit, abs=1e-5)
            assert len({(ngram.start, ngram.end) for ngram in one.ngrams}) == len(one.ngrams)
            for ngram in one.ngrams:  # of an n-gram that the linear part alone has, words have equal parts
                assert len(ngram.tokens) == len(ngram.text.split()) or not ngram.text.isalpha()
    many = ASKED * 3  # more than the kernel has in hand at once
    reading, targets, evidence = next(evidence_of(model._fitted().engine, model.artifact_.tokenizer, many))
    logits = model._fitted().engine.logits(reading.batch)
    np.testing.assert_array_equal(targets, logits.argmax(axis=1))
    sums = [part.sum() for part in np.split(evidence.contributions, evidence.offsets[1:-1])]
    bias = np.array([one.bias for one in model.explain(many)])
    np.testing.assert_allclose(bias + sums, logits.max(axis=1), atol=1e-5)


@pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
def test_explanations_are_the_same_without_compiled_kernels(
    wide: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = wide.explain(ASKED)
    for module in ("kernels.character_ngrams", "kernels.table_gather", "kernels.merge_windows", "kernels.word_parts",
                   "kernels.ngram_linear", "inference.ngram_table", "inference.engine"):  # fmt: skip
        monkeypatch.setattr(f"textcnn.{module}.native", lambda: None)
    plain = TextClassifier(wide.config)
    plain._model = pickle.loads(pickle.dumps(wide._fitted()))  # noqa: S301 - just made here
    for a, b in zip(compiled, plain.explain(ASKED), strict=True):
        assert a.logit == pytest.approx(b.logit, abs=1e-5)
        spans = [{(n.start, n.end): n.contribution for n in one.ngrams} for one in (a, b)]
        assert spans[0].keys() == spans[1].keys()
        np.testing.assert_allclose(list(spans[0].values()), [spans[1][span] for span in spans[0]], atol=1e-5)


def without_ngrams(model: TextClassifier) -> TextClassifier:
    """The network of a model, with what it counts, alone."""
    alone = TextClassifier(model.config)
    artifact = model.artifact_
    tokenizer = Tokenizer.from_json(artifact.tokenizer.to_json(), artifact.config.text)  # which spells nothing
    alone._model = type(model._fitted())(replace(artifact, wide=None, tokenizer=tokenizer))
    return alone


def test_words_of_an_n_gram_share_what_it_adds_evenly(wide: TextClassifier) -> None:
    text = "where is my parcel zyzzyva, it is broken"
    (one,) = wide.explain([text])
    (network,) = without_ngrams(wide).explain([text], labels=one.label)
    alone = {(ngram.start, ngram.end): ngram for ngram in network.ngrams}
    added = set()
    for ngram in one.ngrams:
        before = alone.pop((ngram.start, ngram.end), None)
        linear = ngram.contribution - (before.contribution if before else 0)
        parts = [token.contribution - (before.tokens[n].contribution if before else 0)
                 for n, token in enumerate(ngram.tokens)]  # fmt: skip
        assert parts == pytest.approx([linear / len(parts)] * len(parts), abs=1e-5)
        added.add((len(parts), abs(linear) > 1e-4))
    assert not alone
    assert {(1, True), (2, True)} <= added


@pytest.mark.parametrize("method", ["occlusion", "grad_cam", "integrated_gradients"])
def test_other_methods_explain_both_parts(wide: TextClassifier, method: Any) -> None:
    if method not in wide.explanation_methods:
        pytest.skip(f"{method} needs packages that are not installed")
    text = "where is my parcel"
    (one,) = wide.explain([text], method=method)
    with_network = {ngram.text: ngram.contribution for ngram in one.ngrams}
    (without,) = without_ngrams(wide).explain([text], labels=one.label, method=method)
    assert one.logit != pytest.approx(without.logit, abs=1e-3)
    assert with_network != pytest.approx({ngram.text: ngram.contribution for ngram in without.ngrams}, abs=1e-3)
    total = one.bias + sum(ngram.contribution for ngram in one.ngrams) + one.rest
    assert total == pytest.approx(one.logit, abs=1e-5)
    if method != "occlusion":  # whose bias is the logit of a text of unknown words
        assert wide.artifact_.wide is not None
        bias = wide.artifact_.wide.bias[wide.labels.index(one.label)]
        assert one.bias == pytest.approx(without.bias + bias, abs=1e-6)


def test_words_that_are_only_spelled_are_in_no_n_gram_and_answers_are_the_same_in_any_batch() -> None:
    """Their ids go on behind the vocabulary, in the order in which a batch has them."""
    texts = [f"{text} {topic}{row}" for row, (text, topic) in enumerate(zip(TEXTS, TOPICS, strict=True))]
    embedding = {**TINY["model"]["embedding"], "characters": {"num_filters": 4}}
    model = TextClassifier(
        {**TINY, "text": {"min_count": 2}, "model": {**TINY["model"], "wide": WIDE, "embedding": embedding}}
    ).fit(texts, TOPICS)
    artifact = model.artifact_
    assert artifact.wide is not None
    assert token_ids(artifact.wide.keys).max() < len(artifact.tokenizer)
    asked = ["parcel one two three", "four parcel", "five"]
    together = model.predict_proba(asked)
    for row, text in enumerate(asked):
        np.testing.assert_array_equal(model.predict_proba([text])[0], together[row])


FORMS = ["deliver", "delivers", "delivery", "charge", "charges", "charger", "break", "breaks", "breaking"]
FORM_TOPICS = ["delivery"] * 3 + ["billing"] * 3 + ["repair"] * 3
UNSEEN = [
    "delivered",
    "rebreak it",
    "overcharged here",
    "zyzzyva",
    "delivered delivered charging qqq",
    "\u1100\u1161 breakable",
]


@pytest.fixture(scope="module")
def forms() -> TextClassifier:
    """Has met some forms of words; do not change it."""
    texts = [f"{form} {filler}" for form in FORMS for filler in ("please", "it now", "me today", "here")]
    labels = [topic for topic in FORM_TOPICS for _ in range(4)]
    return TextClassifier(TINY, preset="wide_and_deep").fit(texts, labels)


def test_words_that_training_has_not_seen_are_known_by_what_they_share_with_others(forms: TextClassifier) -> None:
    artifact = forms.artifact_
    assert artifact.wide is not None
    assert artifact.wide.characters is not None
    asked = ["delivered", "overcharged", "breakable", "zyzzyva"]
    assert artifact.tokenizer.encode(asked).unknown.all()
    linear = np.zeros((4, 3), np.float32)
    artifact.wide.add_logits(artifact.tokenizer.encode(asked), linear)
    assert [forms.labels[row] for row in linear[:3].argmax(axis=1)] == ["delivery", "billing", "repair"]
    (one,) = forms.explain(["hello delivered"], labels="delivery")
    (found,) = [ngram for ngram in one.ngrams if ngram.text == "delivered"]
    assert found.contribution > 0
    assert found.unknown == pytest.approx(found.contribution, abs=1e-6)
    (whole,) = forms.explain(["zyzzyva"])
    assert not [ngram for ngram in whole.ngrams if abs(ngram.contribution) > 5]


@pytest.mark.parametrize("engine", ["ngram_table", "torch"])
def test_unseen_words_add_the_same_alone_and_in_any_batch_in_every_engine_and_when_loaded(
    forms: TextClassifier, tmp_path: Path, engine: str
) -> None:
    forms.save(tmp_path / "1")
    model = TextClassifier.load(tmp_path / "1", engine=engine)
    together = model.predict_proba(UNSEEN)
    if engine == "ngram_table":
        np.testing.assert_array_equal(together, forms.predict_proba(UNSEEN))
        for row, text in enumerate(UNSEEN):
            np.testing.assert_array_equal(model.predict_proba([text])[0], together[row])
    np.testing.assert_allclose(together, forms.predict_proba(UNSEEN), atol=1e-5)
    for method in (None, "occlusion"):
        for text, one in zip(UNSEEN, model.explain(UNSEEN, method=method), strict=True):
            total = one.bias + sum(ngram.contribution for ngram in one.ngrams) + one.rest
            assert total == pytest.approx(one.logit, abs=1e-5), text
    assert len(model.filters(UNSEEN)) == 16
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301 - just made here
    np.testing.assert_array_equal(copy.predict_proba(UNSEEN), together)


def test_words_of_the_vocabulary_have_what_they_are_spelled_with_in_their_weight() -> None:
    """The whole is logistic regression on n-grams and character n-grams side by side, in one vector of length 1."""
    texts = [f"{form} {filler}" for form in FORMS for filler in ("please", "it now", "rare", "here")]
    texts[3] = "deliver delivering"  # the second is outside the vocabulary, so only its characters count
    labels = [topic for topic in FORM_TOPICS for _ in range(4)]
    settings = {**TINY, "text": {"min_count": 2}, "data": {"validation_fraction": 0.0}}
    made = TextClassifier(
        {**settings, "model": {**TINY["model"], "wide": {"ngrams": 1, "c": 3.0, "characters": 4}}}
    ).fit(texts, labels).artifact_  # fmt: skip
    wide, tokenizer = made.wide, made.tokenizer
    assert wide is not None
    assert wide.characters is not None
    assert "delivering" not in tokenizer.tokens
    words = [text.split() for text in texts]
    known = [token for token in tokenizer.tokens[2:]]
    word, keys = character_ngrams(letters_of(known), 4)
    among = {key: len(set(word[keys == key].tolist())) for key in np.unique(keys).tolist()}
    kept = sorted(key for key, count in among.items() if count >= 3)
    assert wide.characters.keys.tolist() == kept
    idf = {w: np.log((1 + len(texts)) / (1 + sum(w in found for found in words))) + 1 for w in known}
    gram_idf = np.array([np.log((1 + len(known)) / (1 + among[key])) + 1 for key in kept])

    def spelled(one: str) -> Any:
        counts = np.array([(character_ngrams(letters_of([one]), 4)[1] == key).sum() for key in kept], float)
        length = np.sqrt(2) * idf.get(one, np.log(1 + len(texts)) + 1)
        square = (counts * gram_idf**2).sum()
        return counts * gram_idf * length / np.sqrt(square) if square else counts

    vectors = np.zeros((len(texts), len(known) + len(kept)))
    for row, found in enumerate(words):
        square = 0.0
        for one in found:
            parts = spelled(one)
            square += idf.get(one, 0.0) ** 2 + (2 * idf.get(one, np.log(1 + len(texts)) + 1) ** 2 if parts.any() else 0)
            vectors[row, len(known) :] += parts
            if one in idf:
                vectors[row, known.index(one)] += idf[one]
        vectors[row] /= np.sqrt(square)
    expected = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(vectors, labels)
    found_logits = np.zeros((len(texts), 3), np.float32)
    wide.add_logits(tokenizer.encode(texts), found_logits)
    np.testing.assert_allclose(2 * found_logits, expected.decision_function(vectors), atol=0.1)


def test_words_that_only_another_model_knows_are_spelled_as_well(forms: TextClassifier, tmp_path: Path) -> None:
    """They are in the vocabulary, but in no training text."""
    forms.save(tmp_path / "1")
    texts = [f"{form} {filler}" for form in FORMS[1:] for filler in ("thanks", "again", "sir", "ok")]
    topics = [topic for topic in FORM_TOPICS[1:] for _ in range(4)]
    model = TextClassifier({**TINY, "train": {**TINY["train"], "start_from": str(tmp_path / "1")}}).fit(texts, topics)
    batch = model.artifact_.tokenizer.encode(["deliver", "charge please"])
    assert not batch.unknown.any()
    linear = np.zeros((2, 3), np.float32)
    assert model.artifact_.wide is not None
    model.artifact_.wide.add_logits(batch, linear)
    assert [model.labels[row] for row in linear.argmax(axis=1)] == ["delivery", "billing"]


def test_rare_words_without_a_vector_are_spelled_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are outside the vocabulary, so no count of its words has a place for them."""
    (tmp_path / "vectors.txt").write_text("".join(f"{form} {row} 1.5\n" for row, form in enumerate(FORMS)))
    texts = [f"{form} filler{row}" for row, form in enumerate(FORMS * 4)]
    given = merge(TINY, {"model": {"embedding": {"vectors": str(tmp_path / "vectors.txt")}}, "text": {"min_count": 2}})
    model = TextClassifier(given, preset="wide_and_deep").fit(texts, FORM_TOPICS * 4, progress=Progress())
    assert model.artifact_.wide is not None
    assert model.artifact_.wide.characters is not None
    assert "90.0% of the words in use, 50.0% of the running text" in capsys.readouterr().err


def test_a_model_from_before_there_were_character_n_grams_answers_as_it_did(tmp_path: Path) -> None:
    model = fit({**WIDE, "characters": 0})
    model.save(tmp_path / "1")
    config = json.loads((tmp_path / "1" / "config.json").read_text())
    del config["model"]["wide"]["characters"]
    old = replace(model.artifact_, config=RunConfig.from_mapping(config))
    write_artifact(tmp_path / "2", old)
    np.testing.assert_array_equal(TextClassifier.load(tmp_path / "2").predict_proba(ASKED), model.predict_proba(ASKED))
    assert RunConfig.from_mapping(config).model.wide.characters == 0


def test_summaries_and_filters_work_beside_it(wide: TextClassifier) -> None:
    text = "Hello again. Where is my parcel? The courier has it."
    (summary,) = wide.summarize([text], sentences=1, labels="delivery")
    assert summary.sentences[0].text == max(
        ("Hello again.", "Where is my parcel?", "The courier has it."),
        key=lambda sentence: wide.predict_proba([sentence])[0, wide.labels.index("delivery")],
    )
    assert len(wide.filters(TEXTS[:5])) == 16


def test_copies_in_other_processes_answer_the_same(wide: TextClassifier) -> None:
    copy = pickle.loads(pickle.dumps(wide))  # noqa: S301 - just made here
    np.testing.assert_array_equal(copy.predict_proba(ASKED), wide.predict_proba(ASKED))


def test_it_goes_with_members_and_with_any_network() -> None:
    several = fit(train={**TINY["train"], "max_epochs": 2, "members": 2})
    assert several._fitted().engine.name == "ngram_table"
    assert several.score(TEXTS, TOPICS) > 0.9
    deep = fit(model={"blocks": [{"type": "qrnn", "hidden_dim": 8}], "pooling": {"type": "average"}})
    assert deep.explain(ASKED[:1])[0].method == "occlusion"
    assert deep.score(TEXTS, TOPICS) > 0.9


def test_without_validation_both_parts_count_the_same() -> None:
    model = fit(data={"validation_fraction": 0.0})
    assert model.metrics_["wide"].keys() == {"ngrams", "character_ngrams", "network_counts", "ngrams_count"}
    assert (model.metrics_["wide"]["network_counts"], model.metrics_["wide"]["ngrams_count"]) == (0.5, 0.5)
    alone = fit({"ngrams": 0}, data={"validation_fraction": 0.0}).artifact_.weights
    for name, weight in model.artifact_.weights.items():
        np.testing.assert_allclose(weight, alone[name] * (0.5 if name.startswith("head.") else 1), rtol=1e-6)
    assert model.score(TEXTS, TOPICS) > 0.9


def test_the_linear_classifier_is_scikit_learns_on_the_same_vectors() -> None:
    """Its weights before they are weighed, from training without validation, where they count half."""
    wide = fit({"ngrams": 2, "min_count": 1, "characters": 0, "c": 3.0}, data={"validation_fraction": 0.0}).artifact_
    assert wide.wide is not None
    batch = wide.tokenizer.encode(TEXTS)
    keys, text, _, _ = ngrams(batch.values, batch.offsets, 2)
    np.testing.assert_array_equal(np.unique(keys), wide.wide.keys)
    counts = np.zeros((len(TEXTS), len(wide.wide.keys)))
    np.add.at(counts, (text, np.searchsorted(wide.wide.keys, keys)), 1)
    scale = np.log((1 + len(TEXTS)) / (1 + (counts > 0).sum(axis=0))) + 1
    np.testing.assert_allclose(wide.wide.scale, scale, rtol=1e-6)
    vectors = counts * scale / np.sqrt((counts * scale**2).sum(axis=1))[:, None]
    expected = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(vectors, TOPICS)
    found = 2 * wide.wide.weight / scale[:, None]
    np.testing.assert_allclose(found, expected.coef_.T, atol=0.05)
    np.testing.assert_allclose(vectors @ found + 2 * wide.wide.bias, expected.decision_function(vectors), atol=0.1)


def test_class_weights_count_in_the_linear_part() -> None:
    (even, heavy) = (
        fit(data={"validation_fraction": 0.0}, train={**TINY["train"], **weights}).artifact_.wide
        for weights in ({}, {"class_weights": {"repair": 20.0}})
    )
    assert even is not None
    assert heavy is not None
    assert (heavy.bias - even.bias).argmax() == 2  # billing, delivery, repair


def test_of_several_labels_each_has_a_logistic_regression_of_its_own() -> None:
    wide = fit(
        {"ngrams": 1, "characters": 0, "c": 3.0}, head="multi_label", data={"validation_fraction": 0.0}
    ).artifact_
    assert wide.wide is not None
    batch = wide.tokenizer.encode(TEXTS)
    vectors = np.zeros((len(TEXTS), len(wide.wide.keys)))
    keys, text, _, _ = ngrams(batch.values, batch.offsets, 1)
    np.add.at(vectors, (text, np.searchsorted(wide.wide.keys, keys)), 1)
    vectors *= wide.wide.scale / np.sqrt((vectors * wide.wide.scale.astype(float) ** 2).sum(axis=1))[:, None]
    for column, label in enumerate(wide.labels.names):
        rows = [label in row for row in LABELS["multi_label"]]
        expected = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(vectors, rows)
        found = 2 * wide.wide.weight[:, column] / wide.wide.scale
        np.testing.assert_allclose(found, expected.coef_[0], atol=0.1)


def test_the_shares_of_the_two_parts_are_found_and_few_texts_move_them_little() -> None:
    draw = np.random.default_rng(0)
    network = fit({"ngrams": 1})._fitted().network("grad_cam")
    targets = draw.integers(0, 3, 600)
    good = np.eye(3, dtype=np.float32)[targets] * 2 + draw.normal(size=(600, 3)).astype(np.float32)
    noise = draw.normal(size=(600, 3)).astype(np.float32)
    deep, linear = weigh(network, noise, good, targets)
    assert (deep, linear) == pytest.approx((0.0, 2.0), abs=0.3)
    deep, linear = weigh(network, noise[:3], good[:3], targets[:3])
    assert abs(deep - 0.5) + abs(linear - 0.5) < 2.0
    assert weigh(network, noise * 0, good * 0, targets) == pytest.approx((0.5, 0.5))
    assert weigh(network, noise, good, targets * 0 + 1) == (0.5, 0.5)


def test_rare_n_grams_are_left_out_and_of_too_many_the_rarest() -> None:
    batch = TokenBatch.from_lists([[2, 3, 4], [2, 3], [5], [2, 3, 2, 3], [6, 7, 6, 7]])

    def kept(**options: Any) -> list[tuple[int, ...]]:
        config = WideConfig.model_validate({"ngrams": 3, **options})
        keys, counts = _count(batch, config, most=config.max_ngrams)
        assert counts.shape == (5, len(keys))
        return [tuple(filter(None, ids)) for ids in token_ids(keys).tolist()]

    # 6 7 stands in two places, but in one text
    assert kept() == [(2,), (3,), (4,), (5,), (6,), (7,), (2, 3)]
    assert set(kept(max_ngrams=3)) == {(2,), (3,), (2, 3)}
    assert {(3, 2), (3, 4), (2, 3, 4), (2, 3, 2), (3, 2, 3)} <= set(kept(min_count=1))


def test_of_many_labels_fewer_n_grams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand labels times all n-grams would take tens of gigabytes."""
    monkeypatch.setattr("textcnn.train.wide.MOST_WEIGHTS", 31)
    wide = fit({**WIDE, "characters": 0}).artifact_.wide
    assert wide is not None
    assert wide.weight.shape == (10, 3)
    monkeypatch.setattr("textcnn.train.wide.MOST_WEIGHTS", 480)
    monkeypatch.setattr("textcnn.train.wide.MIN_WORDS", 1)
    both = fit().artifact_.wide
    assert both is not None
    assert both.characters is not None
    assert (len(both.keys), both.characters.weight.shape) == (80, (80, 3))


def test_training_says_what_each_part_is_worth(capsys: pytest.CaptureFixture[str]) -> None:
    TextClassifier({**TINY, "model": {**TINY["model"], "wide": WIDE}}).fit(TEXTS, TOPICS, progress=Progress())
    said = capsys.readouterr().err
    assert "fitting the linear classifier on n-grams" in said
    assert "by the network alone" in said
    assert "by both together" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"wide": WIDE}, "text": {"segments": "sentences"}}, "set text.segments to 'none'"),
        ({"model": {"wide": {"ngrams": 1, "characters": 1}}}, "set it to 2 or more, or to 0"),
        ({"model": {"wide": {"ngrams": 0, "characters": 5}}}, "set model.wide.ngrams to 1, 2 or 3"),
        ({"model": {"wide": {"characters": 5}}, "text": {"tokenizer": "bpe"}}, "or model.wide.characters to 0"),
        ({"model": {"wide": {"ngrams": 4}}}, "model.wide.ngrams: input should be less than or equal to 3, found 4"),
    ],
    ids=str,
)
def test_what_it_does_not_go_with_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(change)


def test_the_default_has_it_and_the_papers_network_has_not(classifier: TextClassifier) -> None:
    assert classifier.artifact_.wide is not None
    alone = TextClassifier(TINY, preset="kim_rand").fit(TEXTS, TOPICS)
    assert alone.artifact_.wide is None
    assert "wide" not in alone.metrics_


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda wide: replace_array(wide, scale=wide.scale[:-1]), r"wide.scale is float32\[\d+\], expected"),
        (lambda wide: replace_array(wide, keys=wide.keys[::-1].copy()), "n-grams that are not in order"),
        (lambda wide: replace_array(wide, keys=wide.keys - wide.keys[0]), "n-grams that are not in order"),
        (lambda wide: replace_array(wide, weight=wide.weight * np.float32(np.nan)), "no finite numbers"),
        (lambda wide: replace_array(wide, weight=wide.weight * np.float32(0) + np.float32(3e38)), "no finite numbers"),
        (lambda wide: replace_array(wide, scale=wide.scale * 0), "scales not above 0"),
        (lambda wide: replace_array(wide, keys=last_key(wide, 1 << 62)), "not of words of the vocabulary"),
        (
            lambda wide: replace_array(wide, keys=last_key(wide, (2 << 2 * ID_BITS) + 2)),
            "not of words of the",
        ),
        (lambda wide: replace_array(wide, keys=np.append([1], wide.keys[1:])), "not of words of the vocabulary"),
        (lambda wide: None, "wide.keys is missing"),
    ],
)
def test_a_damaged_linear_part_is_named(
    wide: TextClassifier, tmp_path: Path, change: Callable[[NgramLinear], NgramLinear | None], message: str
) -> None:
    assert wide.artifact_.wide is not None
    write_artifact(tmp_path / "1", replace(wide.artifact_, wide=change(wide.artifact_.wide)))
    with pytest.raises(ArtifactError, match=message):
        read_artifact(tmp_path / "1")
    assert json.loads((tmp_path / "1" / "config.json").read_text())["model"]["wide"]["ngrams"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": lambda x: x[:-1]}, r"wide.characters.scale is float32\[\d+\], expected"),
        ({"weight": lambda x: x[:, :-1]}, r"wide.characters.weight is float32\[\d+, 2\], expected"),
        ({"weight": lambda x: x * np.float32(np.inf)}, "no finite numbers"),
        ({"scale": lambda x: -x}, "scales not above 0"),
        ({"length": lambda x: 0.0}, "scales not above 0"),
        ({"length": lambda x: float("nan")}, "no finite numbers"),
        ({"keys": lambda x: x[::-1].copy()}, "character n-grams that are not in order"),
        ({"keys": lambda x: x - (1 << 62)}, "character n-grams that are not in order"),
        ({"keys": lambda x: x.astype(np.float32)}, "wide.characters.keys is float32"),
    ],
)
def test_damaged_character_n_grams_are_named(
    forms: TextClassifier, tmp_path: Path, change: dict[str, Callable[[Any], Any]], message: str
) -> None:
    wide = forms.artifact_.wide
    assert wide is not None
    made: Any = object.__new__(CharacterNgrams)
    made.__dict__ |= wide.characters.__dict__
    for name, changed in change.items():
        setattr(made, name, changed(getattr(made, name)))
    write_artifact(tmp_path / "1", replace(forms.artifact_, wide=replace_array(wide, characters=made)))
    with pytest.raises(ArtifactError, match=message):
        read_artifact(tmp_path / "1")


def test_character_n_grams_that_the_configuration_does_not_know_are_refused(
    forms: TextClassifier, tmp_path: Path
) -> None:
    config = forms.artifact_.config
    for wide, message in (
        (WideConfig(ngrams=3), "but no model.wide.characters"),
        (WideConfig(), "no model.wide.ngrams"),
        (WideConfig(ngrams=3, characters="auto"), "model.wide.characters is 'auto', expected a number"),
    ):
        model = config.model.model_copy(update={"wide": wide})
        made = replace(forms.artifact_, config=config.model_copy(update={"model": model}))
        write_artifact(tmp_path / "1", made, overwrite=True)
        with pytest.raises(ArtifactError, match=message):
            read_artifact(tmp_path / "1")


def test_a_linear_part_that_the_configuration_does_not_know_is_refused(wide: TextClassifier, tmp_path: Path) -> None:
    config = wide.artifact_.config
    model = config.model.model_copy(update={"wide": WideConfig()})
    write_artifact(tmp_path / "1", replace(wide.artifact_, config=config.model_copy(update={"model": model})))
    with pytest.raises(ArtifactError, match=r"it has wide\.bias, .*, but no model\.wide\.ngrams"):
        read_artifact(tmp_path / "1")


def last_key(wide: NgramLinear, key: int) -> Any:
    return np.append(wide.keys[:-1], key)


def replace_array(wide: NgramLinear, **arrays: Any) -> Any:
    """With other arrays than go together, which the class itself would not take."""
    made = object.__new__(NgramLinear)
    made.__dict__ |= {**wide.__dict__, **arrays}
    return made
