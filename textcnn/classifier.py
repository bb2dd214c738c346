"""TextClassifier: the whole library behind one object, with scikit-learn's contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from textcnn.answers import decide, expected, is_single, most_probable, predictions, probabilities
from textcnn.artifact import Artifact, read_artifact, write_artifact
from textcnn.calibration.calibration import Method, unknown_share
from textcnn.config import RunConfig
from textcnn.data.label_rows import LabelRows, Labels, check_pairs
from textcnn.data.texts import Texts, text_strings
from textcnn.errors import ArtifactError, DataError, EngineError, MissingExtraError, NotFittedError
from textcnn.golden import ask_golden, golden_faults
from textcnn.inference.engine import Engine, EngineOptions
from textcnn.inference.select import select_engine
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
    from textcnn.train.progress import Progress

# Called now and then with the share of the texts that is behind, 0 to 1.
Tell = Callable[[float], None]
TEXTS_AT_ONCE = 4096


class TextClassifier:
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
        self._artifact: Artifact | None = None
        self._engine: Engine | None = None
        self._network: Any = None  # in torch, made when somebody first asks for its gradients
        self._running: tuple[str, EngineOptions] = ("auto", EngineOptions())
        self.on_tokenized: Callable[[float, TokenBatch], None] | None = None  # told the seconds too, for a service

    def __getstate__(self) -> dict[str, Any]:
        """Copies and other processes get the model, not the engine's tables, which are made anew."""
        return {**self.__dict__, "_engine": None, "_network": None, "on_tokenized": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._artifact is not None:
            engine, options = self._running
            self._engine = select_engine(self._artifact, engine=engine, options=options)

    def __sklearn_is_fitted__(self) -> bool:
        return self._artifact is not None

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
        `labels` is a list of strings; for a multi_label head a list of lists, or of strings that data.label_separator
        takes apart; for a multi_task head {task: list of strings, "" where a text has none}.

        Without `validation` texts, the configured share is held out to choose the best epoch. With `run_folder`, a
        checkpoint is kept there, from which `resume` continues after a crash. Raises ConfigError, LabelError,
        DataError, VectorsError, CheckpointError; MissingExtraError without torch.
        """
        try:
            from textcnn.train.run import train_classifier
        except ModuleNotFoundError as error:
            raise MissingExtraError("training", package=str(error.name), extra="train") from None
        artifact = train_classifier(
            self.config,
            self.preset,
            _items(texts, "text"),
            labels if isinstance(labels, Mapping) else _items(labels, "label"),
            validation=validation and (_items(validation[0], "text"), validation[1]),
            progress=progress,
            run_folder=Path(run_folder) if run_folder else None,
            resume=resume,
        )
        self._artifact, self._engine, self._running = artifact, select_engine(artifact), ("auto", EngineOptions())
        self._network = None
        return self

    def predict(self, texts: Texts) -> list[Any]:
        """The most probable label of each text.

        With a multi_label head the tuple of labels over their thresholds, with a multi_task head {task: label}.
        """
        return decide(self.predict_proba(texts), self.labels, self.head)

    def predict_proba(self, texts: Texts) -> Floats:
        """Calibrated probabilities float32[len(texts), len(labels)], in the order of `labels`."""
        return self._probabilities(self._logits(texts))

    def classify(self, texts: Texts, *, top_k: int | None = 1, abstain_below: float | None = None) -> list[Prediction]:
        """The `top_k` most probable labels of each text, best first; None for all. Ties in the order of `labels`.

        A prediction is marked `abstained` where its best label is less probable than the thresholds that
        `set_abstaining` kept with the model, or than `abstain_below`, which takes their place.
        """
        names = self.labels
        self._check_top_k(top_k)
        found = self.predict_proba(texts)
        answers = predictions(found, names, self.head, top_k)
        if abstain_below is None and not self._fitted().calibration.thresholds:
            return answers
        self._one_label("abstaining")
        unsure = self._fitted().calibration.abstains(found.argmax(1), found.max(1), at_least=abstain_below)
        return [replace(answer, abstained=doubt) for answer, doubt in zip(answers, unsure.tolist(), strict=True)]

    def rank(self, texts: Texts, *, top_k: int | None = 1) -> Ranking | None:
        """What `classify` answers, as columns; None where an answer is more than ranked labels, as the head says."""
        if self.head["type"] in ("multi_label", "multi_task", "hierarchy"):
            return None
        self._check_top_k(top_k)
        best, scores = most_probable(self.predict_proba(texts), top_k)
        return Ranking(best, scores, self._fitted().calibration.abstains(best[:, 0], scores[:, 0]))

    def label_sets(self, texts: Texts, *, coverage: float = 0.9) -> list[tuple[str, ...]]:
        """For each text the labels among which the right one is in `coverage` of all texts, most probable first.

        Holds for texts like those of the validation; a set may be empty. `coverage` is a whole percent. Raises
        DataError for another one, and where the model was trained without validation data.
        """
        found = self.predict_proba(texts)
        inside = self._fitted().calibration.label_sets(found, coverage=coverage)
        best, _ = most_probable(found, None)
        names = self.labels
        return [
            tuple(names[i] for i in row if held[i]) for row, held in zip(best.tolist(), inside.tolist(), strict=True)
        ]

    def familiarity(self, texts: Texts) -> Floats:
        """How much each text is of the kind that the model knows, float32[len(texts)], by what validation looked like.

        0.05: stranger than 95 % of the validation texts. Raises DataError where the model was trained without.
        """
        texts = self._texts(texts)
        calibration, batch = self._fitted().calibration, self._fitted().tokenizer.encode(texts)
        unknown = unknown_share(batch.unknown, batch.offsets)
        return calibration.familiarity(calibration.probabilities(self._logits(texts)), unknown)

    def calibrate(
        self,
        texts: Texts,
        labels: Sequence[str],
        *,
        method: Method = "temperature",
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
        self._artifact = replace(self._fitted(), calibration=calibration)
        self.record("calibration", figures)
        self.record("expected", expected(self.classify(texts)))
        return figures

    def set_abstaining(
        self,
        texts: Texts,
        labels: Sequence[str],
        *,
        goal: Literal["precision", "f1"] = "precision",
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
        calibration = self._fitted().calibration
        found = calibration.probabilities(validation.logits)
        thresholds = fit.fit_thresholds(found, validation.targets, goal=goal, value=value, by_label=by_label)
        figures: dict[str, Any] = {
            "goal": goal, "value": value, "by_label": by_label,
            "thresholds": dict(zip(self.labels, thresholds, strict=True)),
            **fit.thresholds_tried(found, validation.targets, goal=goal, value=value, by_label=by_label),
        }  # fmt: skip
        self._artifact = replace(self._fitted(), calibration=calibration.model_copy(update={"thresholds": thresholds}))
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
        from textcnn.explain.explainer import explain_texts

        artifact = self._fitted()
        assert self._engine is not None
        texts = self._texts(texts)
        if top_n is not None and top_n < 0:
            raise ValueError(f"top_n is {top_n}, expected 0 or more, or None for all n-grams")
        return explain_texts(
            self._engine, artifact.tokenizer, artifact.labels.names, texts,
            probabilities=self._probabilities, targets=self._targets(labels, len(texts)), top_n=top_n,
            method=method, network=self._method_network(method),
        )  # fmt: skip

    @property
    def explanation_methods(self) -> tuple[ExplanationMethod, ...]:
        """What `explain` takes as `method` for this model as it is installed here, the usual one first."""
        from textcnn.explain.explainer import methods_of

        artifact = self._fitted()
        assert self._engine is not None
        return methods_of(self._engine, artifact.tokenizer)

    def _method_network(self, method: ExplanationMethod | None) -> Any:
        """The network whose gradients a method wants, if it wants them. Raises as `explain` does."""
        from textcnn.explain.explainer import wants_network

        assert self._engine is not None
        if not wants_network(self._engine, self._fitted().tokenizer, method):
            return None
        if (network := getattr(self._engine, "network", None)) is not None:  # torch answers with it
            return network
        if self._network is None:
            try:
                from textcnn.inference.torch_engine import artifact_network
            except ModuleNotFoundError as error:
                raise MissingExtraError(f"method {method}", package=str(error.name), extra="train") from None
            self._network = artifact_network(self._fitted()).eval()
        return self._network

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

        artifact = self._fitted()
        assert self._engine is not None
        self._one_text("a summary")
        texts = self._texts(texts)
        read = artifact.config.text
        language = language if language and read.segments == "none" else read.language
        if sentences < 1 or (share is not None and not 0 < share <= 1):
            raise ValueError(f"sentences is {sentences}, expected 1 or more; share is {share}, expected 0 to 1 or None")
        return summarize_texts(
            self._engine, artifact.tokenizer, artifact.labels.names, texts,
            head=self.head, probabilities=self._probabilities, targets=self._targets(labels, len(texts)),
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

        self._one_text("a counterfactual")
        self._one_label("a counterfactual")
        if most_changes < 1:
            raise ValueError(f"most_changes is {most_changes}, expected 1 or more")
        texts = self._texts(texts)
        targets = self._targets(labels, len(texts))
        wanted: list[int | None] = [None] * len(texts) if targets is None else list(targets.tolist())
        search = Counterfactuals(self.predict_proba, self._fitted().tokenizer, self.labels)
        return [
            search.find(text, target=target, most_changes=most_changes)
            for text, target in zip(texts, wanted, strict=True)
        ]

    def filters(self, texts: Texts = (), *, top_n: int = 10) -> list[Filter]:
        """What the filters of the network look for: the labels they vote for, their ideal n-grams, dead and alike ones.

        With `texts`, also the `top_n` n-grams among them that excite each most, and the most influential filters first.
        Raises EngineError for a network that the table engine cannot run.
        """
        from textcnn.explain.filters import describe_filters
        from textcnn.inference.ngram_table import NgramTableEngine

        artifact, engine = self._fitted(), self._engine
        if not isinstance(engine, NgramTableEngine):
            reason = NgramTableEngine.why_not(artifact, EngineOptions(device="cpu"))
            if reason:
                raise EngineError(f"filters are shown for one convolution only: {reason}")
            engine = NgramTableEngine.from_artifact(artifact, EngineOptions(device="cpu"))
        weight = artifact.weights["encoder.blocks.0.weight"]
        names = artifact.labels.names
        return describe_filters(engine, weight, artifact.tokenizer, names, self._texts(texts), top_n=top_n)

    def score(self, texts: Texts, labels: Labels) -> float:
        """Share of texts that get their label; exactly all their labels; or the mean of this over the tasks."""
        if is_single(self.head):
            texts, named = _pairs(self._texts(texts), _strings(labels, "label"))  # type: ignore[arg-type]
            right = [label == predicted for label, predicted in zip(named, self.predict(texts), strict=True)]
            return float(sum(right) / len(right))
        return float(self.evaluate(texts, labels)["accuracy"])

    def evaluate(self, texts: Texts, labels: Labels, *, tell: Tell = lambda share: None) -> dict[str, Any]:
        """Accuracy, log loss, macro F1 and figures by label or task; see textcnn.evaluation."""
        from textcnn.evaluation.by_head import evaluate_rows, level_accuracies
        from textcnn.evaluation.metrics import evaluate_predictions

        artifact = self._fitted()
        if is_single(self.head):
            texts, named = _pairs(self._texts(texts), _strings(labels, "label"))  # type: ignore[arg-type]
            found = self._probabilities(self._logits(texts, tell))
            figures = evaluate_predictions(named, found, self.labels)
            if self.head["type"] == "hierarchy":
                figures["levels"] = level_accuracies(named, found, self.labels, self.head)
            return figures
        texts, rows = _pairs(
            self._texts(texts), LabelRows.read(labels, self.head["type"], artifact.config.data.label_separator)
        )
        return evaluate_rows(rows, self._probabilities(self._logits(texts, tell)), artifact.labels, self.head)

    def compare(
        self, other: TextClassifier, texts: Texts, labels: Labels, *, tell: Tell = lambda share: None
    ) -> dict[str, Any]:
        """Whether this model is better than another on the same texts; see textcnn.evaluation.significance."""
        from textcnn.evaluation.significance import compare

        self._one_label("a comparison")
        other._one_label("a comparison")
        truth = _strings(labels, "label")  # type: ignore[arg-type]
        right = []
        for begun, model in ((0.0, self), (0.5, other)):
            logits = model._logits(texts, lambda share, begun=begun: tell(begun + share / 2))  # type: ignore[misc]
            said = decide(model._probabilities(logits), model.labels, model.head)
            right.append(np.array([label == own for label, own in zip(said, truth, strict=True)], bool))
        return compare(*right)

    def record(self, part: str, figures: Mapping[str, Any]) -> None:
        """Keep the figures of an evaluation with the model, e.g. under "test", for metrics.json and the model card."""
        artifact = self._fitted()
        self._artifact = replace(artifact, metrics={**artifact.metrics, part: dict(figures)})

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder, usually models/<name>/<version>. Raises ArtifactError if it is there already."""
        folder = Path(path).absolute()
        golden = ask_golden(
            self.predict_proba, self._fitted().tokenizer.tokens, self.labels, texts_per_record=self.texts_per_record
        )
        write_artifact(folder, replace(self._fitted(), golden=golden), overwrite=overwrite)
        self._artifact = replace(self._fitted(), name=folder.parent.name, version=folder.name)

    @classmethod
    def load(cls, path: str | Path, *, engine: str = "auto", **options: Any) -> TextClassifier:
        """Open a model folder, or the newest version below models/<name>.

        `engine` is auto, or one of textcnn.registry.ENGINES; `options` are those of EngineOptions: device,
        table_precision, table_budget, threads. Raises ArtifactError if a file is missing or damaged, EngineError if the
        engine cannot run the model.
        """
        model = cls()
        model._running = (engine, EngineOptions.of(options))
        artifact = read_artifact(path)
        model.config = artifact.config
        model._artifact = artifact
        model._engine = select_engine(artifact, engine=engine, options=model._running[1])
        model._check_golden()
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of `predict_proba`."""
        return self._fitted().labels.names

    @property
    def classes_(self) -> npt.NDArray[np.object_]:
        """The same as scikit-learn wants them."""
        return np.array(self.labels, dtype=object)

    @property
    def head(self) -> dict[str, Any]:
        """The head's configuration: its `type`, and its thresholds or tasks."""
        return self._fitted().config.model.head

    @property
    def metrics_(self) -> Mapping[str, Any]:
        """What was measured in training and afterwards."""
        return self._fitted().metrics

    @property
    def artifact_(self) -> Artifact:
        """Configuration, tokenizer and weights."""
        return self._fitted()

    @property
    def name(self) -> str:
        return self._fitted().name

    @property
    def version(self) -> str:
        return self._fitted().version

    @property
    def engine_name(self) -> str:
        self._fitted()
        assert self._engine is not None
        return self._engine.name

    @property
    def texts_per_record(self) -> int:
        """How many texts are read together; 1 for most models."""
        return int(self._fitted().config.model.join.get("texts") or 1)

    @property
    def max_length(self) -> int:
        """Tokens of a text that are used."""
        return self._fitted().config.text.max_length

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """scikit-learn's clone() and grid search ask for this."""
        return {"config": self.config, "preset": self.preset}

    def set_params(self, **params: Any) -> TextClassifier:
        for key, value in params.items():
            if key not in self.get_params():
                raise ValueError(f"TextClassifier has no parameter {key!r} (known: config, preset)")
            setattr(self, key, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """scikit-learn asks for this before it splits or scores; nothing else here needs it."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

    def _validation(self, texts: Texts, labels: Sequence[str], tell: Tell = lambda share: None) -> Any:
        """The texts as textcnn.calibration.fit wants them."""
        fit, _ = _fitting()
        self._one_label("calibration")
        batch = self._fitted().tokenizer.encode(self._texts(texts))
        unknown = unknown_share(batch.unknown, batch.offsets)
        targets = self._fitted().labels.encode(_strings(labels, "label"))
        return fit.Validation(self._logits(texts, tell), targets, unknown)

    def _logits(self, texts: Texts, tell: Tell | None = None) -> Floats:
        """All at once, or piece by piece where somebody wants to be told."""
        artifact = self._fitted()
        assert self._engine is not None
        texts = self._texts(texts)
        if not texts:
            return np.empty((0, len(artifact.labels)), np.float32)
        if tell is None:
            return self._piece_logits(texts)
        parts = []
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            parts.append(self._piece_logits(texts[first : first + TEXTS_AT_ONCE]))
            tell(min(first + TEXTS_AT_ONCE, len(texts)) / len(texts))
        return np.concatenate(parts)

    def _piece_logits(self, texts: Sequence[str]) -> Floats:
        assert self._engine is not None
        started = perf_counter()
        batch = self._fitted().tokenizer.encode(texts)
        if self.on_tokenized:
            self.on_tokenized(perf_counter() - started, batch)
        return self._engine.logits(batch)

    def _check_golden(self) -> None:
        """Raises ArtifactError where the golden texts get other answers than when the model was written."""
        artifact = self._fitted()
        precision = self._running[1].table_precision
        if wrong := golden_faults(artifact.golden, self.predict_proba, self.labels, precision=precision):
            raise ArtifactError(
                f"the model {artifact.name}/{artifact.version} does not answer as it did when it was written: "
                f"{wrong[0]} ({len(wrong)} such). Its files are whole, so {self.engine_name} or a package computes "
                "something else here; try another engine, or train it again here"
            )

    def _texts(self, texts: Texts) -> list[str]:
        """One string a text or record. Raises DataError for other texts than those that the model was fitted on."""
        self._fitted()
        return text_strings(_items(texts, "text"), self.texts_per_record)

    def _check_top_k(self, top_k: int | None) -> None:
        count = len(self.labels)
        if top_k is not None and not 1 <= top_k <= count:
            raise ValueError(f"top_k is {top_k}, expected 1 to {count} (the number of labels) or None")

    def _one_label(self, what: str) -> None:
        """Raises DataError where a text may have several labels."""
        if not is_single(self.head):
            raise DataError(
                f"{what} is for models that give one label to a text; this one has a {self.head['type']} head"
            )

    def _one_text(self, what: str) -> None:
        """Raises DataError where several texts are read together."""
        if self.texts_per_record > 1:
            raise DataError(f"{what} is of one text; this model reads {self.texts_per_record} together")

    def _probabilities(self, logits: Floats) -> Floats:
        return probabilities(logits, self.head, self._fitted().calibration)

    def _targets(self, labels: str | Sequence[str] | None, texts: int) -> npt.NDArray[np.int64] | None:
        """The class index of the label that is asked for, for each text. Raises LabelError, DataError."""
        if labels is None:
            return None
        named = [labels] * texts if isinstance(labels, str) else _strings(labels, "label")
        if len(named) != texts:
            raise DataError(f"{len(named)} labels for {texts} texts; give one label for each, or one for all")
        return self._fitted().labels.encode(named)

    def _fitted(self) -> Artifact:
        if self._artifact is None:
            raise NotFittedError("this TextClassifier has no weights yet: call fit() or TextClassifier.load()")
        return self._artifact


Rows = TypeVar("Rows", bound=Sized)


def _pairs(texts: list[str], rows: Rows) -> tuple[list[str], Rows]:
    """Texts and what belongs to each. Raises DataError if there are none, or not as many of the one as of the other."""
    check_pairs(len(texts), len(rows))
    return texts, rows


def _items(values: Sequence[Any], what: str) -> list[Any]:
    """A list from any sequence (an array, a column of a data frame or of Arrow). Raises DataError for what is none."""
    if isinstance(values, str):
        raise DataError(f"{what}s is one string; give a list of {what}s, e.g. [{what}]")
    try:
        return list(values.to_pylist() if hasattr(values, "to_pylist") else values)
    except TypeError:
        raise DataError(f"{what}s is {values!r} ({type(values).__name__}), expected a list of strings") from None


def _strings(values: Sequence[str], what: str) -> list[str]:
    """The same. Raises DataError for what is no string, too."""
    strings = _items(values, what)
    for place, value in enumerate(strings):
        if not isinstance(value, str):
            raise DataError(f"{what} {place} is {value!r} ({type(value).__name__}), expected a string")
    return strings


def _fitting() -> Any:
    """The modules that fit calibrations. Raises MissingExtraError where scikit-learn is not installed."""
    try:
        from textcnn.calibration import fit
        from textcnn.evaluation import reliability
    except ModuleNotFoundError as error:
        raise MissingExtraError("calibration", package=str(error.name), extra="train") from None
    return fit, reliability
