"""Grad-CAM and integrated gradients against sums written out, and as explanations of every kind of network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from textcnn import TextClassifier
from textcnn.artifact import Artifact
from textcnn.errors import EngineError, MissingExtraError
from textcnn.explain.explainer import explain_texts, methods_of
from textcnn.explain.gradients import grad_cam, integrated_gradients
from textcnn.inference.select import select_engine
from textcnn.inference.torch_engine import artifact_network
from textcnn.types import ExplanationMethod, TokenBatch

from ..inference.test_engines import SPELLING, TOKENIZER, random_artifact
from .test_explainer import CONV, LONG, check, other_network, softmax

NETWORKS: list[dict[str, Any]] = [
    {},
    {"pooling": {"type": "average"}},
    {"pooling": {"type": "attention"}, "head": {"type": "single_label", "hidden_dim": 5}},
    {"blocks": [{**CONV, "stride": 2, "padding": "wide"}, {"type": "local_max"}]},
    {"blocks": [{"type": "qrnn", "hidden_dim": 4, "bidirectional": True}], "head": {"type": "ordinal"}},
    {"blocks": [CONV, {"type": "batch_norm"}, {"type": "residual", "blocks": [{**CONV, "num_filters": 4}]}]},
    {"blocks": []},
]
TEXTS = [LONG, "parcel", "", "zyzzyva is broken"]


def network_of(made: Artifact) -> Any:
    return artifact_network(made).eval()


def explained(made: Artifact, method: ExplanationMethod) -> Any:
    model, network = select_engine(made, engine="torch"), network_of(made)
    return explain_texts(
        model, made.tokenizer, made.labels.names, TEXTS, probabilities=softmax, method=method, network=network
    )


def needs(method: str) -> str:
    if method == "integrated_gradients":
        pytest.importorskip("captum.attr", exc_type=ImportError)
    return method


@pytest.mark.parametrize("method", ["occlusion", "grad_cam", "integrated_gradients"])
@pytest.mark.parametrize("model", NETWORKS, ids=str)
def test_any_network_is_explained_by_any_method_that_says_how_far_to_trust_it(
    model: dict[str, Any], method: ExplanationMethod
) -> None:
    needs(method)
    made = other_network(**{"blocks": [CONV], **model})
    for text, explanation in zip(TEXTS, explained(made, method), strict=True):
        check(text, explanation)
        assert (explanation.method, explanation.exact) == (method, False)
        assert explanation.faithfulness is not None
        assert len(explanation.ngrams) == len(TOKENIZER.encode([text]).values)


@pytest.mark.parametrize("model", NETWORKS, ids=str)
def test_integrated_gradients_are_complete(model: dict[str, Any]) -> None:
    """They add up to the logit less that of the baseline, in sum within one part in fifty."""
    needs("integrated_gradients")
    made = other_network(**{"blocks": [CONV], **model})
    for explanation in explained(made, "integrated_gradients"):
        whole = sum(abs(ngram.contribution) for ngram in explanation.ngrams)
        assert abs(explanation.rest) <= 0.02 * whole + 1e-5


@pytest.mark.parametrize("characters", [0, 3])
def test_integrated_gradients_are_the_mean_gradient_on_the_way_times_the_words(characters: int) -> None:
    needs("integrated_gradients")
    made = random_artifact(activation="tanh", characters=characters)
    network, text = network_of(made), made.tokenizer.encode(["where is my parzel"])
    found, bias = integrated_gradients(network, text, 1)
    words = embedded(network, text)
    total, steps = np.zeros(4), 500
    for step in range(steps):
        x = (words * (step + 0.5) / steps).requires_grad_()
        logit = network.head(network.encoder.pooling(*network.encoder.blocks[0](x, torch.ones(1, 4) > 0)))[0, 1]
        (gradient,) = torch.autograd.grad(logit, x)
        total += (gradient * words).sum(2)[0].numpy() / steps
    np.testing.assert_allclose(found, total, atol=0.02 * np.abs(total).max())
    assert found.sum() + bias == pytest.approx(select_engine(made).logits(text)[0, 1], abs=0.02)


def embedded(network: Any, text: TokenBatch) -> torch.Tensor:
    from textcnn.nn.ragged import Distinct

    with torch.no_grad():
        x: torch.Tensor = network.encoder.embedded(Distinct(1000)(text))[0]
    return x


@pytest.mark.parametrize("pooling", ["max_over_time", "average"])
def test_grad_cam_is_the_sum_over_channels_of_weight_times_activation_where_positive(pooling: str) -> None:
    block = {**CONV, "activation": "tanh"}
    made = other_network(blocks=[block], pooling={"type": pooling})
    network, text = network_of(made), made.tokenizer.encode([LONG])
    found, bias = grad_cam(network, text, 2)
    x = embedded(network, text)
    with torch.no_grad():
        (activations,) = network.encoder.blocks[0](x, torch.ones(x.shape[:2]) > 0)[0].numpy()
    # of one number among T, or of their mean: the gradient's mean over positions is 1 / T
    weights = made.weights["head.linear.weight"][2] / len(activations)
    np.testing.assert_allclose(found, np.maximum(activations @ weights, 0.0), atol=1e-5)
    assert found.any() and bias == pytest.approx(float(made.weights["head.linear.bias"][2]), abs=1e-6)


def test_grad_cam_of_positions_that_are_fewer_lies_between_them() -> None:
    block = {"type": "kim_conv", "filter_widths": [1], "num_filters": 4, "stride": 4, "activation": "sigmoid"}
    made = other_network(blocks=[block], pooling={"type": "average"})
    found, _ = grad_cam(network_of(made), made.tokenizer.encode([" ".join(LONG.split()[:2] * 4)]), 0)
    assert len(found) == 8 + 4  # commas are tokens
    assert found[0] == found[1] and found[-1] == found[-2], "outside the middle of the outer positions they go on"


def test_a_word_that_gradients_find_is_found_by_faithfulness() -> None:
    """The best order deletes well and inserts well; the explanation of the other label does neither."""
    made = random_artifact(blocks=2, characters=3)
    engine, network = select_engine(made), network_of(made)
    texts = ["where is my parcel since monday again! thanks"]
    methods: tuple[ExplanationMethod, ...] = ("occlusion", "grad_cam")
    for method in methods:
        (explanation,) = explain_texts(
            engine, SPELLING, made.labels.names, texts,
            probabilities=softmax, method=method, network=network,
        )  # fmt: skip
        assert explanation.faithfulness and explanation.faithfulness.insertion > explanation.faithfulness.deletion


def test_a_classifier_names_its_methods_and_refuses_others(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert classifier.explanation_methods[:3] == ("ngrams", "occlusion", "grad_cam")
    (usual,), (asked,) = classifier.explain(["my parcel"]), classifier.explain(["my parcel"], method="ngrams")
    assert usual == asked
    assert classifier.explain(["my parcel"], method="grad_cam", labels="billing")[0].label == "billing"
    with pytest.raises(ValueError, match="method is 'lime', expected one of ngrams, occlusion, grad_cam"):
        classifier.explain(["x"], method="lime")  # type: ignore[arg-type]  # which is the point
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'textcnn\[captum\]'"):
        classifier.explain(["my parcel"], method="integrated_gradients")


def test_ngrams_are_not_given_where_they_do_not_add_up() -> None:
    texts, labels = ["my parcel", "my invoice"] * 8, ["delivery", "billing"] * 8
    config = {"model": {"embedding": {"dim": 8}, "pooling": {"type": "average"}}, "train": {"max_epochs": 1}}
    model = TextClassifier(config).fit(texts, labels)
    assert model.explanation_methods[0] == "occlusion"
    with pytest.raises(EngineError, match="this network does not add up n-grams; leave the method out for occlusion"):
        model.explain(texts, method="ngrams")


def test_gradients_are_not_taken_through_segments() -> None:
    pytest.importorskip("sentencex")
    config = {"model": {"embedding": {"dim": 8, "characters": {"num_filters": 3}}}, "train": {"max_epochs": 1}}
    texts, labels = ["My parcel. Where is it?", "My invoice. It is wrong."] * 8, ["delivery", "billing"] * 8
    model = TextClassifier(config, preset="document").fit(texts, labels)
    assert model.explanation_methods == ("occlusion",)
    with pytest.raises(EngineError, match="grad_cam is for networks that read a text as a whole"):
        model.explain(texts, method="grad_cam")
    # the words of each sentence are spelled as well, whichever engine reads them
    batch = model.artifact_.tokenizer.encode(["My parzel. Wehre is it? Zyzzyva!", "", "Parzel"])
    logits = [select_engine(model.artifact_, engine=name).logits(batch) for name in ("auto", "torch")]
    np.testing.assert_allclose(*logits, atol=1e-5)
    assert model.explain(["My parzel. Wehre is it?"])[0].method == "occlusion"


def test_methods_depend_on_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = select_engine(random_artifact())
    monkeypatch.setattr("textcnn.explain.explainer.find_spec", lambda name: None)
    assert methods_of(model, TOKENIZER) == ("ngrams", "occlusion")
