from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcnn import TextClassifier
from textcnn.answers import probabilities, softmax
from textcnn.calibration.calibration import Calibration
from textcnn.errors import LabelError, MissingExtraError
from textcnn.explain.explainer import explain_texts
from textcnn.explain.summary import summarize_texts
from textcnn.inference.select import select_engine
from textcnn.text.segments import split_sentences

from ..inference.test_engines import random_artifact
from .test_explainer import other_network

TEXT = "Hello, I ordered the lamp. Since monday the screen stays dark! Can you help? It makes a loud noise. Thanks."


def test_the_sentences_that_carry_the_label_are_kept_in_order(classifier: TextClassifier) -> None:
    (summary,) = classifier.summarize([TEXT], sentences=2)
    assert (summary.label, summary.total, summary.agrees) == ("repair", 5, True)
    assert [sentence.text for sentence in summary.sentences] == [
        "Since monday the screen stays dark!", "It makes a loud noise.",
    ]  # fmt: skip
    assert all(TEXT[s.start : s.end] == s.text for s in summary.sentences)
    assert summary.text == "Since monday the screen stays dark! It makes a loud noise."
    assert summary.probability == pytest.approx(float(classifier.predict_proba([TEXT]).max()))
    assert summary.summary_probability == pytest.approx(float(classifier.predict_proba([summary.text]).max()))
    assert json.loads(json.dumps(summary.to_dict()))["text"] == summary.text


def test_what_sentences_add_is_the_margin_over_the_strongest_other_label(classifier: TextClassifier) -> None:
    for label in classifier.labels:
        (whole,) = classifier.summarize([TEXT], sentences=99, labels=label)
        others = [name for name in classifier.labels if name != label]
        mine = classifier.explain([TEXT], labels=label)[0]
        other = max((classifier.explain([TEXT], labels=name)[0] for name in others), key=lambda e: e.logit)
        # only those that speak for the label are kept
        assert all(sentence.contribution > 0 for sentence in whole.sentences) or len(whole.sentences) == 1
        margin = (mine.logit - mine.bias) - (other.logit - other.bias)
        assert sum(s.contribution for s in whole.sentences) >= margin - 1e-4


def test_a_share_of_the_length_may_be_asked_for(classifier: TextClassifier) -> None:
    (summary,) = classifier.summarize([TEXT], share=0.6)
    assert len(summary.text) <= 0.6 * len(TEXT)
    (least,) = classifier.summarize([TEXT], share=0.001)
    assert len(least.sentences) == 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=40) | st.sampled_from([TEXT, "\ud800 a. b", " . ", "一。二。"]), max_size=3))
def test_any_text_has_a_summary(classifier: TextClassifier, texts: list[str]) -> None:
    for text, summary in zip(texts, classifier.summarize(texts), strict=True):
        assert all(text[s.start : s.end] == s.text and s.text == s.text.strip() for s in summary.sentences)
        assert bool(summary.sentences) == bool(text.strip()) or not summary.total
        places = [sentence.start for sentence in summary.sentences]
        assert places == sorted(places)
        assert len(places) <= 3


def test_a_network_that_adds_up_no_ngrams_is_asked_without_each_sentence() -> None:
    made = random_artifact(block={"type": "qrnn", "hidden_dim": 6})
    model = select_engine(made)
    (summary,) = summarize_texts(
        model,
        made.tokenizer,
        made.labels.names,
        [TEXT, ""],
        head=made.config.model.head,
        probabilities=softmax,
        sentences=9,
        language="en",
    )[:1]
    logits = model.logits(made.tokenizer.encode([TEXT]))[0]
    target, other = np.argsort(-logits)[:2]
    for sentence in summary.sentences:
        without = model.logits(made.tokenizer.encode([TEXT[: sentence.start] + TEXT[sentence.end :]]))[0]
        lost = (logits[target] - logits[other]) - (without[target] - without[other])
        assert sentence.contribution == pytest.approx(float(lost), abs=1e-5)


@pytest.mark.parametrize("head", [{"type": "multi_label"}, {"type": "multi_task", "tasks": {"a": 1, "b": 2}}], ids=str)
def test_labels_that_do_not_exclude_each_other_are_no_rivals(head: dict[str, Any]) -> None:
    made = other_network(head=head, blocks=[{"type": "kim_conv", "filter_widths": [2], "num_filters": 8}])
    model, found = select_engine(made), partial(probabilities, head=made.config.model.head, calibration=Calibration())
    names, texts, first = ("a=x", "b=x", "b=y"), [TEXT, ""], np.zeros(2, np.int64)
    given: dict[str, Any] = {"probabilities": found, "targets": first}
    summaries = summarize_texts(model, made.tokenizer, names, texts, head=head, sentences=9, language="en", **given)
    explanation = explain_texts(model, made.tokenizer, names, texts, **given)[0]
    positive = sum(ngram.contribution for ngram in explanation.ngrams)
    assert sum(sentence.contribution for sentence in summaries[0].sentences) >= positive - 1e-4


def test_sentences_are_those_of_the_language() -> None:
    def split(text: str, language: str) -> list[str]:
        return [text[start:end] for start, end in split_sentences(text, language)]

    assert split("Dr. Smith left.  He is\nfine? 😀 Yes.", "en") == ["Dr. Smith left.", "He is\nfine?", "😀 Yes."]
    assert split("这部电影很好看。我喜欢！", "zh") == ["这部电影很好看。", "我喜欢！"]
    assert split(" \n ", "en") == []


def test_mistakes_are_told(classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabelError, match="'repairs'"):
        classifier.summarize([TEXT], labels="repairs")
    with pytest.raises(ValueError, match="sentences is 0, expected 1 or more"):
        classifier.summarize([TEXT], sentences=0)
    with pytest.raises(ValueError, match="share is 1.5, expected 0 to 1"):
        classifier.summarize([TEXT], share=1.5)
    monkeypatch.setitem(sys.modules, "sentencex", None)
    with pytest.raises(MissingExtraError, match=r"telling sentences apart needs sentencex.*textcnn\[summarize\]"):
        classifier.summarize([TEXT])


@pytest.mark.parametrize(
    "text", ["", " \n", "🙂🙂", "?!...", "a" * 5000, "包裹在哪里？谢谢。", "\ud800 \x00", "no end " * 900]
)
@pytest.mark.parametrize("asked", [{"sentences": 99}, {"share": 1.0}, {"share": 1e-9}])
def test_any_text_gets_a_summary_of_sentences_of_its_own(
    classifier: TextClassifier, text: str, asked: dict[str, Any]
) -> None:
    (summary,) = classifier.summarize([text], **asked)
    assert [text[one.start : one.end] for one in summary.sentences] == [one.text for one in summary.sentences]
    assert len(summary.sentences) <= summary.total
    assert bool(summary.sentences) == bool(text.strip())
