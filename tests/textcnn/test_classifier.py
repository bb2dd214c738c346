from __future__ import annotations

import copy
import functools
import json
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from textcnn import Prediction, TextClassifier, errors
from textcnn.artifact import read_artifact
from textcnn.calibration.calibration import Calibration
from textcnn.config import RunConfig
from textcnn.errors import ArtifactError, ConfigError, DataError, LabelError
from textcnn.golden import TOLERANCES
from textcnn.inference.engine import EngineOptions
from textcnn.kernels.native import native
from textcnn.registry import ENGINES

from ..conftest import TINY, tiny_corpus
from ..patience import until

compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")

# Texts of known and unknown words, of one token, of none, and of anything else.
WORDS = [*sorted({word for text in tiny_corpus()[0] for word in text.split()}), "zyzzyva", "мышь", "鼠标", "🙂"]
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.text(max_size=20),
    st.sampled_from(["", " ", "zyzzyva", "\ud800", "parcel " * 1200]),
)


@pytest.fixture(scope="session")
def engines(model_folder: Path) -> dict[str, TextClassifier]:
    """The tiny classifier on every engine that can run it."""
    artifact, options = read_artifact(model_folder), EngineOptions()
    able = [name for name in ENGINES if ENGINES.get(name).why_not(artifact, options) is None]
    return {name: TextClassifier.load(model_folder, engine=name) for name in able}


def test_it_learns_the_corpus_and_others_like_it(classifier: TextClassifier) -> None:
    texts, labels = tiny_corpus(seed=1)
    assert classifier.score(texts, labels) >= 0.95
    assert classifier.labels == ("billing", "delivery", "repair")
    assert classifier.metrics_["validation"]["texts"] == 9


def test_probabilities_are_probabilities_and_name_the_predicted_label(classifier: TextClassifier) -> None:
    texts, _ = tiny_corpus(10)
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == (10, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=1e-6)
    assert classifier.predict(texts) == [classifier.labels[index] for index in probabilities.argmax(1)]


def test_classify_gives_the_best_labels_in_order(classifier: TextClassifier) -> None:
    texts, _ = tiny_corpus(5)
    best = classifier.classify(texts)
    assert [prediction.label for prediction in best] == classifier.predict(texts)
    for prediction, row in zip(classifier.classify(texts, top_k=None), classifier.predict_proba(texts), strict=True):
        assert isinstance(prediction, Prediction)
        assert [score.probability for score in prediction.top] == sorted(row.tolist(), reverse=True)
    assert [len(prediction.top) for prediction in classifier.classify(texts, top_k=2)] == [2] * 5


def test_equally_probable_labels_come_in_the_order_of_the_classes(classifier: TextClassifier) -> None:
    undecided = copy.copy(classifier)
    undecided._model.engine = SimpleNamespace(logits=lambda batch: np.zeros((len(batch), 3), np.float32))
    (prediction,) = undecided.classify(["parcel"], top_k=None)
    assert [score.label for score in prediction.top] == ["billing", "delivery", "repair"]
    assert undecided.predict(["parcel"]) == ["billing"]


def test_training_fits_the_temperature_to_the_validation_texts() -> None:
    texts, labels = tiny_corpus(120)
    doubtful = [labels[i if i % 4 else i - 1] for i in range(120)]
    model = TextClassifier(TINY).fit(texts, labels, validation=(texts, doubtful))
    calibration, figures = model.artifact_.calibration, model.metrics_["calibration"]
    assert (calibration.method, figures["method"], figures["texts"]) == ("temperature", "temperature", 120)
    assert figures["after"]["loss"] < figures["before"]["loss"]


def test_training_keeps_the_plain_softmax_where_validation_texts_are_few(classifier: TextClassifier) -> None:
    calibration, figures = classifier.artifact_.calibration, classifier.metrics_["calibration"]
    assert (calibration.method, figures["method"], figures["texts"]) == ("none", "none", 9)
    assert len(calibration.least) == 99
    without = TextClassifier({**TINY, "data": {"validation_fraction": 0}}).fit(*tiny_corpus(30))
    assert without.artifact_.calibration == Calibration()
    with pytest.raises(DataError, match="run textcnn calibrate"):
        without.label_sets(["parcel"])


def test_an_unsure_answer_is_marked(classifier: TextClassifier) -> None:
    texts = [*tiny_corpus(5)[0], "zyzzyva"]
    assert not any(prediction.abstained for prediction in classifier.classify(texts))
    marked = classifier.classify(texts, abstain_below=0.7)
    assert [p.abstained for p in marked] == [p.probability < 0.7 for p in marked]
    assert marked[-1].abstained


def test_label_sets_are_in_order_and_grow_with_the_coverage(classifier: TextClassifier) -> None:
    texts = [*tiny_corpus(5)[0], "zyzzyva", ""]
    for label, small, large in zip(
        classifier.predict(texts),
        classifier.label_sets(texts, coverage=0.5),
        classifier.label_sets(texts, coverage=0.99),
        strict=True,
    ):
        assert large[: len(small)] == small
        assert large[0] == label
    assert classifier.label_sets([]) == []


def test_known_words_are_more_familiar_than_unknown_ones(classifier: TextClassifier) -> None:
    known, unknown = classifier.familiarity(tiny_corpus(30)[0]), classifier.familiarity(["zyzzyva quux"])
    assert known.mean() > 0.3
    assert unknown == 0.0
    assert classifier.familiarity([]).shape == (0,)


def test_a_classifier_can_be_calibrated_anew(classifier: TextClassifier, model_folder: Path) -> None:
    model, texts = TextClassifier.load(model_folder), tiny_corpus(300, seed=4)[0]
    wrong = [model.labels[row % 4 % 3] for row in range(300)]
    figures = model.calibrate(texts, wrong, method="isotonic")
    assert figures["method"] == model.artifact_.calibration.method == "isotonic"
    assert model.predict_proba(texts).max(1).mean() < 0.7, "two thirds of the labels are wrong"
    assert model.predict(texts) == [model.labels[index] for index in model.predict_proba(texts).argmax(1)]
    model.set_abstaining(texts, wrong, goal="f1")
    assert len(model.artifact_.calibration.thresholds) == 3
    model.calibrate(texts, wrong)
    assert model.artifact_.calibration.thresholds == (), "they were thresholds of other probabilities"


@pytest.mark.parametrize("top_k", [1, 2, None])
def test_columns_say_what_predictions_say(classifier: TextClassifier, top_k: int | None) -> None:
    texts = ["where is my parcel", "", "parcel lamp", "x"]
    ranking = classifier.rank(texts, top_k=top_k)
    assert ranking is not None
    rows = zip(ranking.best.tolist(), ranking.probabilities.tolist(), ranking.abstained.tolist(), strict=True)
    names = classifier.labels
    assert [
        ([(score.label, score.probability) for score in found.top], found.abstained)
        for found in classifier.classify(texts, top_k=top_k)
    ] == [([(names[i], p) for i, p in zip(best, scores, strict=True)], doubt) for best, scores, doubt in rows]
    empty = classifier.rank([], top_k=top_k)
    assert empty is not None and len(empty.best) == len(empty.abstained) == 0


@pytest.mark.parametrize("top_k", [0, -1, 4])
def test_more_labels_than_there_are_cannot_be_asked_for(classifier: TextClassifier, top_k: int) -> None:
    with pytest.raises(ValueError, match=f"top_k is {top_k}, expected 1 to 3"):
        classifier.classify(["parcel"], top_k=top_k)


def test_no_texts_give_no_answers(engines: dict[str, TextClassifier]) -> None:
    for model in engines.values():
        assert model.predict([]) == []
        assert model.predict_proba([]).shape == (0, 3)
        assert model.classify([]) == []


def test_texts_without_words_are_answered_too(engines: dict[str, TextClassifier]) -> None:
    for model in engines.values():
        assert len(set(model.predict(["", " \n", "\u200b"]))) == 1


def test_one_string_instead_of_a_list_is_a_mistake(classifier: TextClassifier) -> None:
    with pytest.raises(DataError, match=r"texts is one string; give a list of texts"):
        classifier.predict("where is my parcel")
    with pytest.raises(DataError, match=r"labels is one string"):
        TextClassifier(TINY).fit(["a", "b"], "ab")


@pytest.mark.parametrize("value", [None, 5, float("nan"), b"bytes", ["a"]])
def test_what_is_no_string_is_named_by_its_place(classifier: TextClassifier, value: Any) -> None:
    with pytest.raises(DataError, match=r"text 1 is .*expected a string"):
        classifier.predict(["parcel", value])
    with pytest.raises(DataError, match=r"label 0 is .*expected a string"):
        TextClassifier(TINY).fit(["a", "b"], [value, "b"])


def test_an_unfitted_classifier_says_what_to_call(tmp_path: Path) -> None:
    model = TextClassifier()
    for ask in (lambda: model.predict(["a"]), lambda: model.labels, lambda: model.save(tmp_path / "x" / "1")):
        with pytest.raises(errors.NotFittedError, match=r"call fit\(\) or TextClassifier\.load\(\)"):
            ask()
    assert not list(tmp_path.iterdir())


def test_a_saved_model_gives_the_same_bits(classifier: TextClassifier, model_folder: Path) -> None:
    loaded = TextClassifier.load(model_folder, engine=classifier.engine_name)
    texts, _ = tiny_corpus(40, seed=3)
    np.testing.assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    assert (loaded.name, loaded.version, loaded.max_length) == ("tiny", "1", 1000)


def test_saving_gives_the_model_its_name_and_recording_keeps_it(model_folder: Path, tmp_path: Path) -> None:
    model = TextClassifier.load(model_folder)
    model.record("test", model.evaluate(*tiny_corpus(9)))
    assert (model.name, model.version) == ("tiny", "1")
    model.save(tmp_path / "other" / "2")
    assert (model.name, model.version) == ("other", "2")
    assert TextClassifier.load(tmp_path / "other").metrics_["test"]["texts"] == 9
    assert "| test | 9 |" in (tmp_path / "other" / "2" / "README.md").read_text()


def test_a_loaded_model_can_be_trained_anew(model_folder: Path, corpus: tuple[list[str], list[str]]) -> None:
    model = TextClassifier.load(model_folder)
    before = model.predict_proba(corpus[0])
    np.testing.assert_allclose(model.fit(*corpus).predict_proba(corpus[0]), before, atol=1e-5)


def test_validation_texts_may_be_given(corpus: tuple[list[str], list[str]]) -> None:
    model = TextClassifier({**TINY, "train": {**TINY["train"], "max_epochs": 1}})
    assert model.fit(*corpus, validation=tiny_corpus(12, seed=2)).metrics_["validation"]["texts"] == 12
    assert (model.name, model.version) == ("unsaved", "0")
    with pytest.raises(LabelError, match="labels that training has not seen: 'another'"):
        model.fit(*corpus, validation=(["a"], ["another"]))


def test_without_validation_the_last_epoch_counts(corpus: tuple[list[str], list[str]]) -> None:
    config = {**TINY, "train": {**TINY["train"], "max_epochs": 2}, "data": {"validation_fraction": 0}}
    metrics = TextClassifier(config).fit(*corpus).metrics_
    assert metrics["validation"] is None
    assert metrics["training_texts"] == 90
    assert metrics["best_epoch"] == 2


def test_arrays_will_do_for_lists(corpus: tuple[list[str], list[str]]) -> None:
    texts, labels = (np.array(column) for column in corpus)
    model = TextClassifier({**TINY, "train": {**TINY["train"], "max_epochs": 1}}).fit(texts, labels)
    assert model.predict(texts) == model.predict(texts.astype(object)) == model.predict(corpus[0])


def test_a_wrong_setting_is_told_before_any_work(corpus: tuple[list[str], list[str]]) -> None:
    with pytest.raises(ConfigError, match="train.epochs: unknown setting"):
        TextClassifier({"train": {"epochs": 5}}).fit(*corpus)
    with pytest.raises(ConfigError, match="unknown preset 'kim'"):
        TextClassifier(preset="kim").fit(*corpus)


@pytest.mark.parametrize(
    ("texts", "labels", "error", "message"),
    [
        (["a"], ["x", "y"], DataError, "1 texts and 2 labels"),
        (["a", "b"], ["x", "x"], LabelError, "at least 2 different labels, found only 'x'"),
        (["a", "b", "c"], ["x", "y", "z"], LabelError, "labels have only one row.*'y'"),
        ([], [], DataError, "there are no texts"),
    ],
)
def test_examples_that_teach_nothing_are_refused(
    texts: list[str], labels: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TextClassifier(TINY).fit(texts, labels)


def test_the_same_seed_gives_the_same_model_and_another_one_another(corpus: tuple[list[str], list[str]]) -> None:
    def train(seed: int) -> np.ndarray:
        config = {**TINY, "train": {**TINY["train"], "max_epochs": 1, "seed": seed}}
        return TextClassifier(config).fit(*corpus).artifact_.weights["head.linear.weight"]

    np.testing.assert_array_equal(train(1), train(1))
    assert (train(1) != train(2)).any()


def test_a_config_object_will_do(corpus: tuple[list[str], list[str]]) -> None:
    config = RunConfig.from_mapping({**TINY, "train": {**TINY["train"], "max_epochs": 1}})
    assert TextClassifier(config).fit(*corpus).artifact_.config.train == config.train


@compiled
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_engines_agree(engines: dict[str, TextClassifier], texts: list[str]) -> None:
    fast, reference = (engines[name].predict_proba(texts) for name in ("ngram_table", "torch"))
    np.testing.assert_allclose(fast, reference, atol=1e-5)


@compiled
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_a_text_has_the_same_numbers_alone_and_in_any_batch(
    engines: dict[str, TextClassifier], texts: list[str]
) -> None:
    together = engines["ngram_table"].predict_proba(texts)
    backwards = engines["ngram_table"].predict_proba(texts[::-1])[::-1]
    np.testing.assert_array_equal(backwards, together)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_array_equal(engines["ngram_table"].predict_proba([text])[0], row)
        np.testing.assert_allclose(engines["torch"].predict_proba([text])[0], row, atol=1e-5)


def test_scikit_learn_can_clone_it_and_cross_validate(corpus: tuple[list[str], list[str]]) -> None:
    base = pytest.importorskip("sklearn.base")
    selection = pytest.importorskip("sklearn.model_selection")
    model = TextClassifier({**TINY, "data": {"validation_fraction": 0}})
    twin = base.clone(model)
    assert twin is not model
    assert twin.get_params() == model.get_params()
    assert base.is_classifier(model)
    scores = selection.cross_val_score(model, *corpus, cv=3)
    assert scores.mean() >= 0.9


def pickled(model: TextClassifier) -> TextClassifier:
    copied: TextClassifier = pickle.loads(pickle.dumps(model))  # noqa: S301  its own pickle, made here
    return copied


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy, copy.copy])
def test_a_copy_answers_alike(engines: dict[str, TextClassifier], copied: Any) -> None:
    texts, _ = tiny_corpus(3)
    for model in engines.values():
        other = copied(model)
        assert other.engine_name == model.engine_name
        np.testing.assert_array_equal(other.predict_proba(texts), model.predict_proba(texts))
    assert not hasattr(copied(TextClassifier()), "classes_")


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy, copy.copy])
def test_what_is_done_to_a_copy_leaves_the_other_as_it_was(classifier: TextClassifier, copied: Any) -> None:
    before = classifier.artifact_
    other = copied(classifier)
    other.calibrate(*tiny_corpus(120, seed=1), method="vector")
    other.record("test", {"accuracy": 0.0})
    assert other.metrics_["test"] != classifier.metrics_.get("test")
    assert classifier.artifact_ is before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_answers_as_well(classifier: TextClassifier) -> None:
    texts, _ = tiny_corpus(400)
    expected = classifier.predict(texts)  # starts the threads, which the child does not have
    child = os.fork()
    if child == 0:
        os._exit(0 if classifier.predict(texts) == expected else 1)
    ended: list[int] = []
    try:
        until(lambda: ended.extend(os.waitpid(child, os.WNOHANG)) or any(ended), "the child's answer")
    finally:
        if not any(ended):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert ended[-2:] == [child, 0]


def test_scikit_learn_uses_it_in_pipelines_and_scores_its_probabilities(corpus: tuple[list[str], list[str]]) -> None:
    texts, labels = corpus
    model = Pipeline([("model", TextClassifier(TINY))]).fit(texts, labels)
    assert model.score(texts, labels) == 1.0
    losses = cross_val_score(TextClassifier(TINY), texts, labels, cv=2, scoring="neg_log_loss", error_score="raise")
    assert (losses > -0.7).all()
    calibrated = CalibratedClassifierCV(TextClassifier(TINY), cv=2).fit(texts, labels)
    assert list(calibrated.predict(texts)) == labels


def test_integers_as_labels_come_back_as_integers(corpus: tuple[list[str], list[str]], tmp_path: Path) -> None:
    """Where scikit-learn numbers the labels, it wants the numbers back."""
    texts, labels = corpus
    numbers = np.array([{"billing": 10, "delivery": -1, "repair": 2}[label] for label in labels])
    model = TextClassifier(TINY).fit(texts, numbers, validation=(texts[:30], numbers[:30].tolist()))
    assert model.classes_.tolist() == [-1, 2, 10] and model.classes_.dtype == np.int64
    assert model.labels == ("-1", "2", "10")
    assert model.predict(texts) == numbers.tolist()
    assert model.score(texts, numbers) == model.score(texts, list(map(str, numbers))) == 1.0
    assert model.evaluate(texts, numbers)["accuracy"] == 1.0
    model.save(tmp_path / "m" / "1")
    again = TextClassifier.load(tmp_path / "m")
    assert again.predict(texts[:3]) == pickled(again).predict(texts[:3]) == numbers[:3].tolist()
    assert again.classify(texts[:1])[0].label == str(numbers[0])
    for wrong in ([1, "b"], [True, False], [1.0, 2.0]):
        with pytest.raises(DataError, match="label . is .*expected a string"):
            TextClassifier(TINY).fit(["a", "b"], wrong)


def test_scikit_learn_may_number_the_labels(corpus: tuple[list[str], list[str]]) -> None:
    texts, labels = corpus
    model = TextClassifier(TINY)
    assert cross_val_predict(model, texts, labels, cv=2, method="predict_proba").shape == (len(texts), 3)
    voting = VotingClassifier([("a", model), ("b", clone(model))], voting="soft").fit(texts, labels)
    assert list(voting.predict(texts)) == labels
    assert list(OneVsRestClassifier(model).fit(texts, labels).predict(texts)) == labels


def test_single_settings_are_searched_by_their_names(corpus: tuple[list[str], list[str]]) -> None:
    grid = {"model.train.max_epochs": [1], "model.model.blocks.0.num_filters": [4, 8]}
    grid = {f"model__{name.removeprefix('model.')}": values for name, values in grid.items()}
    search = GridSearchCV(Pipeline([("model", TextClassifier(TINY))]), grid, cv=2, error_score="raise").fit(*corpus)
    assert search.best_params_.keys() == grid.keys()
    best = search.best_estimator_["model"].artifact_.config
    assert best.train.max_epochs == 1 and best.model.embedding.dim == TINY["model"]["embedding"]["dim"]
    assert best.model.blocks[0]["num_filters"] == search.best_params_["model__model.blocks.0.num_filters"]


def test_setting_a_parameter_leaves_the_mapping_that_was_given_as_it_was() -> None:
    given = {"train": {"max_epochs": 3}}
    model = TextClassifier(given).set_params(**{"train.max_epochs": 4, "preset": "kim_rand"})
    assert (model.config, model.preset, given) == (
        {"train": {"max_epochs": 4}},
        "kim_rand",
        {"train": {"max_epochs": 3}},
    )
    assert repr(model) == "TextClassifier(config={'train': {'max_epochs': 4}}, preset='kim_rand')"
    assert repr(TextClassifier()) == "TextClassifier()"
    assert TextClassifier(RunConfig()).set_params(**{"train.seed": 2}).config["train"]["seed"] == 2
    with pytest.raises(ValueError, match="no parameter 'max_epochs'"):
        model.set_params(max_epochs=4)
    with pytest.raises(errors.ConfigError, match="there is no setting at 'model.blocks.x'"):
        TextClassifier(TINY).set_params(**{"model.blocks.x": 4})


def test_scikit_learn_knows_whether_it_is_fitted(classifier: TextClassifier) -> None:
    check_is_fitted(classifier)
    with pytest.raises(NotFittedError):
        check_is_fitted(TextClassifier())
    assert not hasattr(TextClassifier(), "classes_")


def test_columns_of_arrow_will_do(classifier: TextClassifier) -> None:
    texts, _ = tiny_corpus(3)
    assert classifier.predict(pa.chunked_array([texts])) == classifier.predict(texts)
    several = {"model": {**TINY["model"], "head": {"type": "multi_label"}}, "train": TINY["train"]}
    for config, labels in ((TINY, ["a", "b"]), (several, ["a|b", "b"]), (several, [["a", "b"], ["b"]])):
        column = pa.chunked_array([labels * 3])
        model = TextClassifier(config).fit(texts * 2, column, validation=(pa.chunked_array([texts * 2]), column))
        assert model.evaluate(texts * 2, column)["texts"] == 6


def test_a_wrong_call_is_a_mistake_that_is_told(classifier: TextClassifier, model_folder: Path, tmp_path: Path) -> None:
    texts, labels = tiny_corpus()
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: classifier.score([], []), "no texts"),
        (lambda: classifier.evaluate([], []), "no texts"),
        (lambda: classifier.calibrate(texts, labels[:2]), r"\d+ texts and 2 labels"),
        (lambda: classifier.set_abstaining(texts, labels[:2]), r"\d+ texts and 2 labels"),
        (lambda: classifier.compare(classifier, texts, labels[:2]), r"\d+ texts and 2 labels"),
        (lambda: classifier.score(texts, labels[:2]), r"\d+ texts and 2 labels"),
        (lambda: classifier.evaluate(texts, labels[:2]), r"\d+ texts and 2 labels"),
        (lambda: TextClassifier(TINY).fit(texts, labels, validation=([], [])), "no texts"),
        (lambda: TextClassifier(TINY).fit(texts, labels, validation=(texts, labels[:2])), r"\d+ texts and 2 labels"),
        (lambda: TextClassifier("kim_static").fit(texts, labels), "config is 'kim_static'"),
        (lambda: TextClassifier([1]).fit(texts, labels), r"config is \[1\]"),
        (lambda: TextClassifier(preset=None).fit(texts, labels), "preset"),
        (lambda: TextClassifier.load(None), "path is None"),
        (lambda: TextClassifier.load(model_folder, table_precision="int4"), "table_precision is 'int4'"),
        (lambda: TextClassifier.load(model_folder, threads="2"), "threads is '2'"),
        (lambda: TextClassifier.load(model_folder, threads=-1), "threads is -1"),
        (lambda: TextClassifier.load(model_folder, table_budget=-1), "table_budget is -1"),
        (lambda: TextClassifier.load(model_folder, speed=3), "there is no option 'speed'"),
        (lambda: TextClassifier.load(model_folder, engine="fast"), "fast"),
        (lambda: TextClassifier.load(model_folder, device="foo"), "device"),
        (lambda: TextClassifier(TINY).fit(texts, [f"{label}\ud800" for label in labels]), "label .* surrogate"),
    ]
    for call, message in wrong:
        with pytest.raises(errors.TextCNNError, match=message):
            call()


@pytest.mark.parametrize("texts", [None, 5])
def test_what_is_no_list_is_named(classifier: TextClassifier, texts: Any) -> None:
    with pytest.raises(DataError, match="expected a list of strings"):
        classifier.predict(texts)


def test_parameters_are_set_by_name() -> None:
    model = TextClassifier().set_params(preset="kim_static", config={"train": {"seed": 2}})
    assert model.get_params() == {"config": {"train": {"seed": 2}}, "preset": "kim_static"}
    with pytest.raises(ValueError, match=r"no parameter 'presets' \(known: config, preset\)"):
        model.set_params(presets="x")


def test_a_model_is_held_to_the_answers_it_gave_when_it_was_written(classifier, corpus, tmp_path):
    folder = tmp_path / "m" / "1"
    classifier.save(folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    golden = content["golden"]
    assert len(golden) >= 3 and golden[0]["text"] == ""
    assert not {one["text"] for one in golden} & set(corpus[0]), "no text of the training is given away"
    for precision in ("float32", "float16", "int8"):
        TextClassifier.load(folder, table_precision=precision)
        exact = TextClassifier.load(folder, engine="torch").predict_proba([one["text"] for one in golden])
        found = TextClassifier.load(folder, table_precision=precision).predict_proba([one["text"] for one in golden])
        assert np.abs(found - exact).max() < TOLERANCES[precision] / 4
    first, probability = next(iter(golden[1]["probabilities"].items()))
    golden[1]["probabilities"][first] = probability - 0.2
    manifest.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=f"does not answer as it did .*'{first}', and had"):
        TextClassifier.load(folder)
    del content["golden"]
    manifest.write_text(json.dumps(content))
    TextClassifier.load(folder)  # one of before


@pytest.mark.parametrize("golden", [5, [5], [{"text": "a"}], [{"text": "a", "probabilities": {"none": 1.0}}],
                                    [{"text": "a", "probabilities": {"billing": "1"}}]])  # fmt: skip
def test_golden_texts_that_are_none_are_told(model_folder, tmp_path, golden):
    folder = shutil.copytree(model_folder, tmp_path / "m" / "1")
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**content, "golden": golden}))
    with pytest.raises(ArtifactError, match="golden is no list of texts"):
        TextClassifier.load(folder)


def test_what_was_answered_to_the_validation_texts_is_kept(classifier, corpus):
    kept = classifier.metrics_["expected"]
    assert kept["texts"] == classifier.metrics_["validation"]["texts"]
    assert sum(kept["labels"].values()) + kept["unlabelled"] == sum(kept["confidence"]) == kept["texts"]
    other = copy.deepcopy(classifier)
    other.set_abstaining(*corpus, goal="f1")
    assert other.metrics_["expected"]["texts"] == len(corpus[0])


def test_a_service_is_told_what_was_tokenized(classifier):
    told = []
    other = copy.deepcopy(classifier)
    other.on_tokenized = lambda seconds, batch: told.append((seconds, len(batch.values), int(batch.unknown.sum())))
    other.predict(["my invoice zzzz", "the courier"])
    ((seconds, tokens, unknown),) = told
    assert seconds > 0 and (tokens, unknown) == (5, 1)


@pytest.mark.parametrize("method", ["ngrams", "occlusion"])
def test_a_service_is_told_what_was_tokenized_to_explain(classifier, method):
    told = []
    other = copy.deepcopy(classifier)
    other.on_tokenized = lambda seconds, batch: told.append((seconds, len(batch.values), int(batch.unknown.sum())))
    other.explain(["my invoice zzzz", "the courier"], labels="billing", method=method)
    ((seconds, tokens, unknown),) = told
    assert seconds > 0 and (tokens, unknown) == (5, 1)


def test_what_is_long_tells_how_far_it_is_and_finds_the_same(
    classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, labels = tiny_corpus(40, seed=3)
    whole = classifier.evaluate(texts, labels)
    monkeypatch.setattr("textcnn.fitted.TEXTS_AT_ONCE", 16)
    own = copy.deepcopy(classifier)
    for ask in (own.evaluate, own.calibrate, functools.partial(own.compare, classifier)):
        told: list[float] = []
        ask(texts, labels, tell=told.append)
        assert told == sorted(told)
        assert (len(told), told[-1]) == (6 if isinstance(ask, functools.partial) else 3, 1.0)
    assert classifier.evaluate(texts, labels) == whole
