"""TextClassifier: the whole library behind one object, with scikit-learn's contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from textcnn.answers import decide, expected, is_single, most_probable, predictions
from textcnn.artifact import Artifact, read_artifact, write_artifact
from textcnn.calibration.calibration import unknown_share
from textcnn.choices import AbstainingGoal, CalibrationMethod
from textcnn.config import LANGUAGE, RunConfig, with_setting
from textcnn.data.given import as_list, as_pair
from textcnn.data.label_rows import Labels
from textcnn.data.texts import Texts
from textcnn.errors import DataError, EngineError, NotFittedError, needs_extra
from textcnn.estimator import Estimator
from textcnn.fitted import Fitted, Tell
from textcnn.golden import ask_golden
from textcnn.inference.engine import EngineOptions
from textcnn.presets import DEFAULT_PRESET
from textcnn.types import (
    Counterfactual,
    Explanation,
    ExplanationMethod,
    Floats,
    Prediction,
    Ranking,
    Summary,
    TokenBatch,
)

if TYPE_CHECKING:
    from textcnn.explain.filters import Filter
    from textcnn.explain.label_ngrams import LabelNgrams
    from textcnn.train.progress import Progress


class TextClassifier(Estimator):
    """A sentence CNN: fit it on texts and labels, or load one, and ask it for labels.

    `config` holds what differs from the preset, by section (see RunConfig); it is checked by `fit`, before any work.

    >>> model = TextClassifier({"train": {"max_epochs": 5}}).fit(texts, labels)
    >>> model.predict(["where is my parcel"])
    ['delivery']
    >>> model.save("models/support/1")
    """

    def __init__(self, config: RunConfig | Mapping[str, Any] | None = None, *, preset: str = DEFAULT_PRESET) -> None:
        self.config = config
        self.preset = preset
        self._model: Fitted | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy goes its own way: calibrated anew, say, it leaves the other as it was."""
        return {**self.__dict__, "_model": self._model and self._model.with_artifact(self._model.artifact)}

    def set_params(self, **params: Any) -> Self:
        """Change `config` or `preset`, or single settings by their names, as grid search does.

        >>> GridSearchCV(TextClassifier(), {"train.max_epochs": [5, 10], "model.embedding.dim": [100, 300]})

        Raises ValueError for what is no parameter, ConfigError for a setting where none can be.
        """
        super().set_params(**{name: value for name, value in params.items() if "." not in name})
        given = self.config.model_dump(mode="json") if isinstance(self.config, RunConfig) else self.config or {}
        for name in (name for name in params if "." in name):
            self.config = given = with_setting(given, name, params[name])
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return self._model is not None

    def fit(
        self,
        texts: Texts,
        labels: Labels,
        *,
        validation: tuple[Texts, Labels] | None = None,
        progress: Progress | None = None,
        run_folder: str | Path | None = None,
        resume: bool = False,
    ) -> TextClassifier:
        """Learn vocabulary and weights from `texts` and their `labels`.

        `texts` are strings; with text.segments "columns" (preset two_towers) tuples of as many strings each.
        `labels` is a list of strings, or of integers, which `predict` and `classes_` give back as such and all else
        takes for their digits; for a multi_label head a list of lists, or of strings that data.label_separator
        takes apart; for a multi_task head {task: list of strings, "" where a text has none}.

        Without `validation` texts, the configured share is held out to choose the best epoch. With `run_folder`, a
        checkpoint is kept there, from which `resume` continues after a crash. On a CPU the same data and settings
        (train.seed) give the same bits; not so for fits at the same time in threads of one process, which share torch's
        random numbers. Raises ConfigError, LabelError, DataError, VectorsError, CheckpointError; MissingExtraError
        without torch.
        """
        with needs_extra("training", "train"):
            from textcnn.train.run import train_classifier
        artifact = train_classifier(
            self.config,
            self.preset,
            as_list(texts, "text"),
            labels,
            validation=as_pair(validation),
            progress=progress,
            run_folder=Path(run_folder) if run_folder else None,
            resume=resume,
        )
        self._model = Fitted(artifact)
        return self

    def predict(self, texts: Texts) -> list[Any]:
        """The most probable label of each text, an integer where `fit` was given such.

        With a multi_label head the tuple of labels over their thresholds, with a multi_task head {task: label}.
        """
        labels = decide(self.predict_proba(texts), self.labels, self.head)
        return list(map(int, labels)) if self.artifact_.labels.integers else labels

    def predict_proba(self, texts: Texts) -> Floats:
        """Calibrated probabilities float32[len(texts), len(labels)], in the order of `labels`."""
        return self._fitted().predict_proba(texts)

    def classify(self, texts: Texts, *, top_k: int | None = 1, abstain_below: float | None = None) -> list[Prediction]:
        """The `top_k` most probable labels of each text, best first; None for all. Ties in the order of `labels`.

        A prediction is marked `abstained` where its best label is less probable than the thresholds that
        `set_abstaining` kept with the model, or than `abstain_below`, which takes their place.
        """
        model = self._fitted()
        model.check_top_k(top_k)
        found = model.predict_proba(texts)
        answers = predictions(found, model.labels, model.head, top_k)
        calibration = model.artifact.calibration
        if abstain_below is None and not calibration.thresholds:
            return answers
        model.check_one_label("abstaining")
        unsure = calibration.abstains(found.argmax(1), found.max(1), at_least=abstain_below)
        doubts = zip(answers, unsure.tolist(), strict=True)
        return [replace(answer, abstained=True) if doubt else answer for answer, doubt in doubts]

    def rank(self, texts: Texts, *, top_k: int | None = 1) -> Ranking | None:
        """What `classify` answers, as columns; None where an answer is more than ranked labels, as the head says."""
        model = self._fitted()
        if model.head["type"] in ("multi_label", "multi_task", "hierarchy"):
            return None
        model.check_top_k(top_k)
        best, scores = most_probable(model.predict_proba(texts), top_k)
        return Ranking(best, scores, model.artifact.calibration.abstains(best[:, 0], scores[:, 0]))

    def label_sets(self, texts: Texts, *, coverage: float = 0.9) -> list[tuple[str, ...]]:
        """For each text the labels among which the right one is in `coverage` of all texts, most probable first.

        Holds for texts like those of the validation; a set may be empty. `coverage` is a whole percent. Raises
        DataError for another one, and where the model was trained without validation data.
        """
        found = self.predict_proba(texts)
        inside = self.artifact_.calibration.label_sets(found, coverage=coverage)
        best, _ = most_probable(found, None)
        names = self.labels
        return [
            tuple(names[i] for i in row if held[i]) for row, held in zip(best.tolist(), inside.tolist(), strict=True)
        ]

    def familiarity(self, texts: Texts) -> Floats:
        """How much each text is of the kind that the model knows, float32[len(texts)], by what validation looked like.

        0.05: stranger than 95 % of the validation texts. Raises DataError where the model was trained without.
        """
        model = self._fitted()
        strings, calibration = model.texts(texts), model.artifact.calibration
        batch = model.artifact.tokenizer.encode(strings)
        unknown = unknown_share(batch.unknown, batch.offsets)
        return calibration.familiarity(calibration.probabilities(model.logits(strings)), unknown)

    def calibrate(
        self,
        texts: Texts,
        labels: Sequence[str],
        *,
        method: CalibrationMethod = "temperature",
        tell: Tell = lambda share: None,
    ) -> dict[str, Any]:
        """Fit probabilities, label sets and familiarity anew, to texts that training has not seen; never to the test.

        `method` is none, temperature, vector or isotonic. Thresholds for abstaining, which would no longer mean what
        they meant, are dropped. Plain softmax is kept where `method` does not lower the log loss of texts that it was
        not fitted on. Returns (and keeps in `metrics_`) the figures before and after. Raises LabelError for a label
        that the model does not know, DataError for too few texts, MissingExtraError without scikit-learn.
        """
        _, reliability = _fitting()
        figures: dict[str, Any]
        calibration, figures = reliability.fit_and_measure(self._validation(texts, labels, tell), method)
        self._keep(replace(self.artifact_, calibration=calibration))
        self.record("calibration", figures)
        self.record("expected", expected(self.classify(texts)))
        return figures

    def set_abstaining(
        self,
        texts: Texts,
        labels: Sequence[str],
        *,
        goal: AbstainingGoal = "precision",
        value: float = 0.0,
        by_label: bool = False,
    ) -> dict[str, Any]:
        """Keep thresholds with the model below which it abstains, chosen on texts that training has not seen.

        Goal "precision": what is answered is right in `value` of the cases, all together or `by_label` for each label.
        Goal "f1": the threshold of each label that gives the highest F1. Returns the share of the texts that is
        answered and how much of that is right, where thresholds came from the other four fifths. Raises DataError
        where no threshold reaches the goal.
        """
        fit, _ = _fitting()
        validation = self._validation(texts, labels)
        calibration = self.artifact_.calibration
        found = calibration.probabilities(validation.logits)
        thresholds = fit.fit_thresholds(found, validation.targets, goal=goal, value=value, by_label=by_label)
        figures: dict[str, Any] = {
            "goal": goal, "value": value, "by_label": by_label,
            "thresholds": dict(zip(self.labels, thresholds, strict=True)),
            **fit.thresholds_tried(found, validation.targets, goal=goal, value=value, by_label=by_label),
        }  # fmt: skip
        self._keep(replace(self.artifact_, calibration=calibration.changed(thresholds=thresholds)))
        self.record("abstaining", figures)
        self.record("expected", expected(self.classify(texts)))
        return figures

    def explain(
        self,
        texts: Texts,
        *,
        labels: str | Sequence[str] | None = None,
        top_n: int | None = None,
        method: ExplanationMethod | None = None,
    ) -> list[Explanation]:
        """Why each text gets the logit of a label: the n-grams of the text and what each adds, strongest first.

        `labels` says which label: one for all texts, or one for each; by default the most probable one. `top_n` keeps
        the strongest n-grams only. Where the network adds up n-grams (Explanation.method is "ngrams") the answer is
        exact; elsewhere, or with another `method`, words get contributions that are not, and Explanation.faithfulness.
        Raises LabelError for a label that the model does not have, EngineError for a method that does not go with this
        network, MissingExtraError for one that is not installed.
        """
        from textcnn.explain.explainer import explain_texts, wants_network

        if top_n is not None and top_n < 0:
            raise ValueError(f"top_n is {top_n}, expected 0 or more, or None for all n-grams")
        model = self._fitted()
        strings, tokenizer = model.texts(texts), model.artifact.tokenizer
        return explain_texts(
            model.engine, tokenizer, model.labels, strings,
            probabilities=model.probabilities, targets=model.targets(labels, len(strings)), top_n=top_n, method=method,
            network=model.network(method) if wants_network(model.engine, tokenizer, method) else None,
            on_tokenized=model.on_tokenized,
        )  # fmt: skip

    @property
    def explanation_methods(self) -> tuple[ExplanationMethod, ...]:
        """What `explain` takes as `method` for this model as it is installed here, the usual one first."""
        from textcnn.explain.explainer import methods_of

        return methods_of(self._fitted().engine, self.artifact_.tokenizer)

    def summarize(
        self,
        texts: Texts,
        *,
        sentences: int = 3,
        share: float | None = None,
        labels: str | Sequence[str] | None = None,
        language: str | None = None,
    ) -> list[Summary]:
        """The sentences of each text that carry its label, at most `sentences`, in the order of the text.

        With `share`, as many as fit in that share of the text's length, but one at least. `labels` as in `explain`;
        `language` (ISO 639-1; by default text.language) knows abbreviations; a document network keeps to its own.
        Raises LabelError; DataError for a model of several texts; MissingExtraError without sentencex.
        """
        from textcnn.explain.summary import summarize_texts

        model = self._fitted()
        model.check_one_text("a summary")
        read = model.artifact.config.text
        language = language if language and read.segments == "none" else read.language
        if language and not re.fullmatch(LANGUAGE, language):
            raise DataError(f"the language is {language!r}, expected its ISO 639-1 code, such as en or de")
        if sentences < 1 or (share is not None and not 0 < share <= 1):
            raise ValueError(f"sentences is {sentences}, expected 1 or more; share is {share}, expected 0 to 1 or None")
        strings = model.texts(texts)
        return summarize_texts(
            model.engine, model.artifact.tokenizer, model.labels, strings,
            head=model.head, probabilities=model.probabilities, targets=model.targets(labels, len(strings)),
            sentences=sentences, share=share, language=language,
        )  # fmt: skip

    def counterfactuals(
        self, texts: Texts, *, labels: str | Sequence[str] | None = None, most_changes: int = 5
    ) -> list[Counterfactual | None]:
        """The smallest change of words, up to `most_changes`, that gives each text another label; None if none did.

        `labels` says which label to reach: one for all texts, or one for each; by default any other. Raises LabelError;
        DataError for a head that gives no single label, and for a model of several texts.
        """
        from textcnn.explain.counterfactual import Counterfactuals

        model = self._fitted()
        model.check_one_text("a counterfactual")
        model.check_one_label("a counterfactual")
        if most_changes < 1:
            raise ValueError(f"most_changes is {most_changes}, expected 1 or more")
        strings = model.texts(texts)
        targets = model.targets(labels, len(strings))
        wanted: list[int | None] = [None] * len(strings) if targets is None else list(targets.tolist())
        search = Counterfactuals(model.predict_proba, model.artifact.tokenizer, model.labels)
        return [
            search.find(text, target=target, most_changes=most_changes)
            for text, target in zip(strings, wanted, strict=True)
        ]

    def filters(self, texts: Texts = (), *, top_n: int = 10, tell: Tell = lambda share: None) -> list[Filter]:
        """What the filters of the network look for: the labels they vote for, their ideal n-grams, dead and alike ones.

        With `texts`, also the `top_n` n-grams among them that excite each most, and the most influential filters first.
        Raises EngineError for a network that the table engine cannot run.
        """
        from textcnn.explain.filters import describe_filters
        from textcnn.inference.ngram_table import NgramTableEngine
        from textcnn.inference.wide import network_engine

        model = self._fitted()
        artifact, engine = model.artifact, network_engine(model.engine)
        if not isinstance(engine, NgramTableEngine):
            reason = NgramTableEngine.why_not(artifact, EngineOptions(device="cpu"))
            if reason:
                raise EngineError(f"filters are shown for one convolution only: {reason}")
            engine = NgramTableEngine.from_artifact(artifact, EngineOptions(device="cpu"))
        weight = artifact.weights["encoder.blocks.0.weight"]
        strings = model.texts(texts)
        return describe_filters(engine, weight, artifact.tokenizer, model.labels, strings, top_n=top_n, tell=tell)

    def ngrams(self, *, top_n: int = 10) -> list[LabelNgrams]:
        """Of each label the `top_n` n-grams that speak most for it, and against it, in the part beside the network.

        Raises EngineError for a model without such a part (model.wide).
        """
        from textcnn.explain.label_ngrams import label_ngrams

        model = self._fitted()
        if model.artifact.wide is None:
            raise EngineError("no n-grams stand beside this network: it was trained with model.wide.ngrams=0")
        return label_ngrams(model.artifact.wide, model.artifact.tokenizer.tokens, model.labels, top_n=top_n)

    def score(self, texts: Texts, labels: Labels) -> float:
        """Share of texts that get their label; exactly all their labels; or the mean of this over the tasks."""
        model = self._fitted()
        if is_single(model.head):
            strings, rows = model.pairs(texts, labels)
            said = decide(model.predict_proba(strings), model.labels, model.head)
            right = [label == predicted for label, predicted in zip(rows.flat, said, strict=True)]
            return float(sum(right) / len(right))
        return float(self.evaluate(texts, labels)["accuracy"])

    def evaluate(self, texts: Texts, labels: Labels, *, tell: Tell = lambda share: None) -> dict[str, Any]:
        """Accuracy, log loss, macro F1 and figures by label or task; see textcnn.evaluation."""
        from textcnn.evaluation.by_head import evaluate_rows, level_accuracies, scale_figures
        from textcnn.evaluation.metrics import evaluate_predictions

        model = self._fitted()
        strings, rows = model.pairs(texts, labels)
        found = model.probabilities(model.logits(strings, tell))
        if not is_single(model.head):
            return evaluate_rows(rows, found, model.artifact.labels, model.head)
        figures = evaluate_predictions(rows.flat, found, model.labels)
        if model.head["type"] == "hierarchy":
            figures["levels"] = level_accuracies(rows.flat, found, model.labels, model.head)
        if model.head["type"] == "ordinal":
            figures["scale"] = scale_figures(rows.flat, found, model.labels)
        return figures

    def compare(
        self, other: TextClassifier, texts: Texts, labels: Labels, *, tell: Tell = lambda share: None
    ) -> dict[str, Any]:
        """Whether this model is better than another on the same texts; see textcnn.evaluation.significance."""
        from textcnn.evaluation.significance import compare

        right = []
        for begun, model in ((0.0, self._fitted()), (0.5, other._fitted())):
            model.check_one_label("a comparison")
            strings, rows = model.pairs(texts, labels)
            logits = model.logits(strings, _half(tell, begun))
            said = decide(model.probabilities(logits), model.labels, model.head)
            right.append(np.array([label == own for label, own in zip(said, rows.flat, strict=True)], bool))
        return compare(*right)

    def record(self, part: str, figures: Mapping[str, Any]) -> None:
        """Keep the figures of an evaluation with the model, e.g. under "test", for metrics.json and the model card."""
        artifact = self.artifact_
        self._keep(replace(artifact, metrics={**artifact.metrics, part: dict(figures)}))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder, usually models/<name>/<version>. Raises ArtifactError if it is there already."""
        folder, model, artifact = Path(path).absolute(), self._fitted(), self.artifact_
        tokens = artifact.tokenizer.tokens
        golden = ask_golden(model.predict_proba, tokens, model.labels, texts_per_record=model.texts_per_record)
        write_artifact(folder, replace(artifact, golden=golden), overwrite=overwrite)
        self._keep(replace(artifact, name=folder.parent.name, version=folder.name))

    @classmethod
    def load(cls, path: str | Path, *, engine: str = "auto", **options: Any) -> TextClassifier:
        """Open a model folder, or the newest version below models/<name>.

        `engine` is auto, or one of textcnn.registry.ENGINES; `options` are those of EngineOptions: device,
        table_precision, table_budget, threads. Raises ArtifactError if a file is missing or damaged, EngineError if the
        engine cannot run the model.
        """
        running = EngineOptions.of(options)
        artifact = read_artifact(path)
        model = cls(artifact.config)
        model._model = Fitted(artifact, engine=engine, options=running)
        model._model.check_golden()
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of `predict_proba`."""
        return self._fitted().labels

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The same as scikit-learn wants them: strings as objects, integers where `fit` was given such."""
        return (
            np.array(list(map(int, self.labels))) if self.artifact_.labels.integers else np.array(self.labels, object)
        )

    @property
    def head(self) -> dict[str, Any]:
        """The head's configuration: its `type`, and its thresholds or tasks."""
        return self._fitted().head

    @property
    def metrics_(self) -> Mapping[str, Any]:
        """What was measured in training and afterwards."""
        return self.artifact_.metrics

    @property
    def artifact_(self) -> Artifact:
        """Configuration, tokenizer and weights."""
        return self._fitted().artifact

    @property
    def on_tokenized(self) -> Callable[[float, TokenBatch], None] | None:
        """Told of every batch that is read: the seconds that its tokens took, and the tokens. From any thread."""
        return self._fitted().on_tokenized

    @on_tokenized.setter
    def on_tokenized(self, told: Callable[[float, TokenBatch], None] | None) -> None:
        self._fitted().on_tokenized = told

    @property
    def name(self) -> str:
        return self.artifact_.name

    @property
    def version(self) -> str:
        return self.artifact_.version

    @property
    def engine_name(self) -> str:
        return self._fitted().engine.name

    @property
    def texts_per_record(self) -> int:
        """How many texts are read together; 1 for most models."""
        return self._fitted().texts_per_record

    @property
    def max_length(self) -> int:
        """Tokens of a text that are used."""
        return self.artifact_.config.text.max_length

    def _validation(self, texts: Texts, labels: Sequence[str], tell: Tell = lambda share: None) -> Any:
        """The texts as textcnn.calibration.fit wants them."""
        fit, _ = _fitting()
        model = self._fitted()
        model.check_one_label("calibration")
        strings, rows = model.pairs(texts, labels)
        batch = model.artifact.tokenizer.encode(strings)
        unknown = unknown_share(batch.unknown, batch.offsets)
        return fit.Validation(model.logits(strings, tell), rows.encode(model.artifact.labels), unknown)

    def _fitted(self) -> Fitted:
        if self._model is None:
            raise NotFittedError("this TextClassifier has no weights yet: call fit() or TextClassifier.load()")
        return self._model

    def _keep(self, artifact: Artifact) -> None:
        self._model = self._fitted().with_artifact(artifact)


def _half(tell: Tell, begun: float) -> Tell:
    return lambda share: tell(begun + share / 2)


def _fitting() -> Any:
    """The modules that fit calibrations. Raises MissingExtraError where scikit-learn is not installed."""
    with needs_extra("calibration", "train"):
        from textcnn.calibration import fit
        from textcnn.evaluation import reliability
    return fit, reliability
