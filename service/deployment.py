"""One version of one model, at work: its batcher, its metrics, and how many requests hold it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby, islice, pairwise
from math import inf, isfinite
from time import monotonic, perf_counter
from typing import Any, NamedTuple, Protocol, cast

import orjson

from service.batcher import BatchReport, MicroBatcher, each_by_itself
from service.errors import InvalidRequestError
from service.metrics import Metrics, VersionMetrics, Work
from textcnn.errors import TextCNNError
from textcnn.types import Explanation, ExplanationMethod, Prediction, Ranking, TextViews, TokenBatch, join_texts

SAMPLE_TEXTS, SAMPLE_SECONDS = 16, 1.0  # of so many texts, so often, it is measured whether they have changed
WORD_CHARS, MOST_WORDS = 5, 256  # of a text, for what it costs to explain it
TEXT_COST = 32  # what a text costs beside its characters, in characters


Text = str | Sequence[str]  # the latter for a model that reads several together
Bulk = MicroBatcher[Callable[[], bytes], bytes]  # work that brings many texts of its own


class Classifier(Protocol):
    """What the service needs of a model; `textcnn.TextClassifier` is one.

    `on_tokenized` is told of every batch: the seconds that its tokens took, and the tokens. From any thread.
    """

    on_tokenized: Callable[[float, TokenBatch], None] | None

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def head(self) -> Mapping[str, Any]:
        """The head's configuration; its `type` says what an answer looks like."""
        ...

    @property
    def metrics_(self) -> Mapping[str, Any]:
        """What training measured; under "expected" its answers to the validation texts, if there were any."""
        ...

    @property
    def engine_name(self) -> str: ...
    @property
    def max_length(self) -> int: ...
    @property
    def texts_per_record(self) -> int:
        """How many texts are read together; then `texts` below are joined by textcnn.types.join_texts."""
        ...

    def classify(self, texts: Sequence[str], *, top_k: int | None = 1) -> list[Prediction]:
        """One prediction a text, in order. Called from several threads at once."""
        ...

    def rank(self, texts: Sequence[str], *, top_k: int | None = 1) -> Ranking | None:
        """The same as columns; None where an answer is more than ranked labels, whatever the texts."""
        ...

    def familiarity(self, texts: Sequence[str]) -> Iterable[float]:
        """How much each text is of the kind that the model knows: evenly from 0 to 1 for texts like the validation's.

        Raises TextCNNError where that is not known.
        """
        ...

    @property
    def explanation_methods(self) -> tuple[ExplanationMethod, ...]:
        """What `explain` takes as `method`, the usual one first."""
        ...

    def explain(
        self, texts: Sequence[str], *, labels: str | Sequence[str] | None = None, top_n: int | None = None,
        method: ExplanationMethod | None = None,
    ) -> list[Explanation]:  # fmt: skip
        """Why each text gets the logit of a label, the predicted one by default; `top_n` n-grams, None: all."""
        ...


class Question(NamedTuple):
    """What is to be explained: why `text` gets `label` (None: the predicted one), by its strongest `top_n` n-grams.

    `method` None: the usual one.
    """

    text: str
    label: str | None
    top_n: int
    method: ExplanationMethod | None = None


def text_cost(text: str) -> int:
    return len(text) + TEXT_COST


def text_costs(texts: Sequence[str]) -> list[int]:
    """Of each."""
    lengths = texts.lengths.tolist() if isinstance(texts, TextViews) else map(len, texts)
    return [length + TEXT_COST for length in lengths]


def explanation_cost(text: str) -> int:
    """Where n-grams cannot be added up, the text is classified again without each of its words, of 256 at most."""
    return text_cost(text) * (1 + min(len(text) // WORD_CHARS, MOST_WORDS))


def warm_up(classifier: Classifier) -> list[tuple[int, float]]:
    """The first calls pay for lazy set-up in the engine; they are not to be a user's. Blocks.

    Returns (cost, seconds) of some batches, from which a batcher can tell what is short.
    """
    timings = []
    for count in (1, 16, 1, 16, 1):
        texts = ["warm up with a text of some words", ""][:count] * max(1, count // 2)
        texts = [join_texts([text] * classifier.texts_per_record) for text in texts]
        started = perf_counter()
        classifier.classify(texts)
        timings.append((sum(text_costs(texts)), perf_counter() - started))
    return timings[2:]


def _shortened(prediction: Prediction, top_k: int) -> Prediction:
    tasks = prediction.tasks
    if tasks is not None:
        tasks = {task: _shortened(found, top_k) for task, found in tasks.items()}
    return replace(prediction, top=prediction.top[:top_k], tasks=tasks)


class Tokenizing(threading.local):
    """The time that this thread has spent on tokens since it began a piece of work."""

    seconds = 0.0

    def begin(self) -> float:
        """Returns the time, of time.perf_counter."""
        self.seconds = 0.0
        return perf_counter()


class Deployment:
    """Make it on the event loop, from a classifier that is warm."""

    def __init__(
        self,
        classifier: Classifier,
        metrics: Metrics,
        *,
        name: str,
        version: str,
        max_batch_texts: int,
        max_batch_chars: int,
    ) -> None:
        self.classifier = classifier
        self.name = name
        self.version = version
        self.labels = classifier.labels
        self.labels_as_json = tuple(map(orjson.dumps, self.labels))
        self.texts_per_record = classifier.texts_per_record
        self.head = classifier.head
        self.ranks = classifier.rank([]) is not None  # whether its answers are no more than ranked labels
        self._sample: list[str] = []  # texts of the last batch, while one is due
        self._sample_at = 0.0  # of time.monotonic; when the next is
        self.in_use = 0
        self._retired = False
        self._closed: Callable[[], None] = lambda: None
        self._series = VersionMetrics(metrics, self.name, self.version, self.labels)
        self._series.expect(classifier.metrics_)
        self._tokenizing = Tokenizing()
        classifier.on_tokenized = self._tokenized
        metrics.model.labels(self.name, self.version, classifier.engine_name).set(1)
        self._info = metrics.model, (self.name, self.version, classifier.engine_name)
        self._max_batch_texts, self._max_batch_chars = max_batch_texts, max_batch_chars
        self.batcher: MicroBatcher[tuple[str, int], Prediction] = MicroBatcher(
            self._classify,
            observe=self._observe,
            name=f"{name}/{version}",
            max_items=max_batch_texts,
            max_cost=max_batch_chars,
        )

    @cached_property
    def explainer(self) -> MicroBatcher[Question, Explanation]:
        """Made when somebody first asks why."""
        return MicroBatcher(
            self._explain,
            observe=self._observe_explained,
            name=f"{self.name}/{self.version} explains",
            max_items=self._max_batch_texts,
            max_cost=self._max_batch_chars,
        )

    @cached_property
    def bulk(self) -> Bulk:
        """For blocks of a stream, one after the other. Made when it is first asked for."""
        return self._make_bulk("stream")

    @cached_property
    def many(self) -> Bulk:
        """As `bulk`, for requests of many texts: they do not wait behind streams."""
        return self._make_bulk("classify")

    def _make_bulk(self, work: Work) -> Bulk:
        return MicroBatcher(
            lambda jobs: [job() for job in jobs],
            observe=partial(self._observe_run, work),
            name=f"{self.name}/{self.version} {work} in bulk",
            max_items=1,
        )

    @cached_property
    def methods(self) -> tuple[ExplanationMethod, ...]:
        """How it explains, as far as that costs no more than some answers and loads nothing that is not there."""
        cheap = {"ngrams", "occlusion"} | ({"grad_cam"} if self.classifier.engine_name == "torch" else set())
        return tuple(method for method in self.classifier.explanation_methods if method in cheap)

    @contextmanager
    def held(self) -> Iterator[None]:
        """As long as a request holds it, it is not closed."""
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1
            if self._retired and not self.in_use:
                self._close()

    def retire(self, closed: Callable[[], None] = lambda: None) -> None:
        """Close it as soon as nobody holds it, which `closed` is told."""
        self._retired, self._closed = True, closed
        self._series.forget()
        gauge, labels = self._info
        gauge.labels(*labels).set(0)  # with several processes a series cannot be taken away
        if not self.in_use:
            self._close()

    def keep_recent(self) -> None:
        """To be called about once a second."""
        if not self._retired:
            self._series.keep_recent()

    def _close(self) -> None:
        self.batcher.close()
        for name in ("explainer", "bulk", "many"):
            if name in self.__dict__:
                self.__dict__[name].close()
        self._closed()

    def pieces(self, costs: Sequence[int]) -> list[tuple[int, int]]:
        """Runs of the model for many texts: the first text of each and the one after its last."""
        if len(costs) <= self._max_batch_texts and sum(costs) <= self._max_batch_chars:
            return [(0, len(costs))]
        ends, begin, cost = [], 0, 0
        for place, more in enumerate(costs):
            if place > begin and (cost + more > self._max_batch_chars or place - begin == self._max_batch_texts):
                ends.append(place)
                begin, cost = place, 0
            cost += more
        return [*pairwise([0, *ends, len(costs)])]

    def records(self, texts: Sequence[Text], name: str = "texts") -> Sequence[str]:
        """Texts as the classifier wants them. Raises InvalidRequestError for one that the model does not read so.

        `name` is that of the field with the texts; "text": the field of the only one.
        """
        if self.texts_per_record == 1 and (isinstance(texts, TextViews) or set(map(type, texts)) <= {str}):
            return cast("Sequence[str]", texts)
        return [
            text if type(text) is str and self.texts_per_record == 1 else self._record(text, place, name)
            for place, text in enumerate(texts)
        ]

    def _record(self, text: Text, place: int, name: str) -> str:
        where = name if name == "text" else f"{name}[{place}]"
        if self.texts_per_record == 1:
            raise InvalidRequestError(f"{where} must be a string: this model reads one text at a time.")
        if type(text) is str or len(text) != self.texts_per_record:
            wanted = ", ".join(['"..."'] * self.texts_per_record)
            raise InvalidRequestError(f"{where} must be a list, [{wanted}]: this model reads so many together.")
        return join_texts(text)

    def _explain(self, questions: list[Question]) -> list[Explanation]:
        """In the order of the questions; those of one kind together."""

        def kind(place: int) -> tuple[bool, int, str]:
            return questions[place].label is None, questions[place].top_n, questions[place].method or ""

        started = self._tokenizing.begin()
        answers: dict[int, Explanation] = {}
        for (predicted, top_n, _), group in groupby(sorted(range(len(questions)), key=kind), key=kind):
            places = list(group)
            labels = None if predicted else [questions[place].label or "" for place in places]
            found = self.classifier.explain(
                [questions[place].text for place in places],
                labels=labels, top_n=top_n, method=questions[places[0]].method,
            )  # fmt: skip
            for explanation in found:
                if not (isfinite(explanation.logit) and isfinite(explanation.probability)):
                    raise FloatingPointError("a logit is no finite number; the weights of the model may be too large")
            answers.update(zip(places, found, strict=True))
        self._ran("explain", started)
        return [answers[place] for place in range(len(questions))]

    def _classify(self, items: list[tuple[str, int]], work: Work = "classify") -> list[Prediction]:
        """Predictions of (text, top_k), with so many labels each. On the loop or in the batcher's thread."""
        most = max(top_k for _, top_k in items)
        started = self._tokenizing.begin()
        predictions = self.classifier.classify([text for text, _ in items], top_k=most)
        self._ran(work, started)
        self._series.predicted(predictions)
        self._take_sample([text for text, _ in items[:SAMPLE_TEXTS]])
        if all(top_k == most for _, top_k in items):
            return predictions
        return [
            prediction if top_k == most else _shortened(prediction, top_k)
            for prediction, (_, top_k) in zip(predictions, items, strict=True)
        ]

    def rank_now(self, texts: Sequence[str], top_k: int, work: Work) -> Ranking:
        """What `classifier.rank` answers, where the model `ranks`. For bulk work, in its thread."""
        started = self._tokenizing.begin()
        ranking = self.classifier.rank(texts, top_k=top_k)
        assert ranking is not None
        self._ran(work, started)
        self._series.batch(len(texts))
        self._series.ranked(ranking)
        self._take_sample(texts)
        return ranking

    def classify_now(self, texts: Sequence[str], top_k: int, work: Work) -> list[Prediction | Exception]:
        """A prediction for each text, or the exception that it alone caused. For bulk work, in its thread."""
        outcomes = each_by_itself(partial(self._classify, work=work), [(text, top_k) for text in texts])
        self._series.batch(len(texts), sum(isinstance(outcome, Exception) for outcome in outcomes))
        return outcomes

    def _tokenized(self, seconds: float, batch: TokenBatch) -> None:
        self._tokenizing.seconds += seconds
        self._series.tokenized(batch)

    def _ran(self, work: Work, started: float) -> None:
        """The model did, since `started`, in this thread."""
        self._series.work[work].ran(perf_counter() - started, self._tokenizing.seconds)

    def _observe(self, report: BatchReport) -> None:
        self._series.batch(report.items, report.failed)
        self._observe_run("classify", report)

    def _observe_explained(self, report: BatchReport) -> None:
        self._series.work["explain"].queue_seconds.observe(report.waited)
        self._series.failed_texts.inc(report.failed)

    def _observe_run(self, work: Work, report: BatchReport) -> None:
        """Bulk work counts its texts itself: it has several to an item, and perhaps several runs of the model."""
        self._series.work[work].queue_seconds.observe(report.waited)
        self._series.batches[report.inline].inc()
        if self._sample and monotonic() >= self._sample_at:
            self._sample_at = monotonic() + SAMPLE_SECONDS
            texts, self._sample = self._sample, []
            asyncio.get_running_loop().run_in_executor(None, self._measure, texts)

    def _take_sample(self, texts: Sequence[str]) -> None:
        if monotonic() >= self._sample_at:
            self._sample = list(islice(texts, SAMPLE_TEXTS))

    def _measure(self, texts: list[str]) -> None:
        """How much some texts are like those of the validation; in a thread, for it takes another pass."""
        try:
            found = self.classifier.familiarity(texts)
        except TextCNNError:
            self._sample_at = inf  # trained without validation, or a head that has no such measure
            return
        for familiarity in found:
            self._series.familiarity.observe(float(familiarity))
