"""The data shapes that run through the house. All frozen; numpy only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from textcnn.choices import ExplanationMethod as ExplanationMethod

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Parts = npt.NDArray[np.float64]
UNKNOWN_ID = 1  # of every token that the vocabulary does not have
DECIMALS = 7  # of contributions as JSON has them
SHARES = tuple(step / 20 for step in range(1, 21))  # upper ends of the bins of a histogram of probabilities
BETWEEN = "="  # a task and its label, in the names of the labels of a model with several tasks
# A record of several texts is one string with ASCII's unit separator between them, which no tokenizer reads; between
# their tokens, and between those of a document's sentences, stands the id of <pad>, which no text contains.
TEXT_BREAK = "\x1f"
BREAK_ID = 0


def join_texts(texts: Sequence[str]) -> str:
    """The texts of a record as one string."""
    return TEXT_BREAK.join(text.replace(TEXT_BREAK, " ") for text in texts)


def split_texts(record: str) -> list[str]:
    """The texts of a record."""
    return record.split(TEXT_BREAK)


def text_begins(texts: Sequence[str]) -> list[int]:
    """Where each text of a record begins in its one string."""
    return list(accumulate((len(text) + len(TEXT_BREAK) for text in texts[:-1]), initial=0))


class TextViews(Sequence[str]):
    """Texts that stand in memory of another form. Compiled code reads them there, without a str of each."""

    @property
    @abstractmethod
    def views(self) -> Any:
        """A capsule of what textcnn/text/_texts.h says."""

    @property
    @abstractmethod
    def lengths(self) -> npt.NDArray[np.int64]:
        """Code points of each text, int64[N]."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """A ragged batch: all token ids laid end to end, and where each text starts.

    `values` is int32[N]; `offsets` is int64[B + 1] with offsets[0] == 0 and offsets[B] == N. Text i is
    values[offsets[i]:offsets[i + 1]]. A text may be empty. Nothing is padded.

    Where a model reads how words are written, `spelling` says it, and every word outside the vocabulary has an id of
    its own, from the size of the vocabulary on.
    """

    values: Ids
    offsets: Offsets
    spelling: Spelling | None = None

    @classmethod
    def from_lists(cls, texts: Sequence[Sequence[int]]) -> TokenBatch:
        """Lay several id lists end to end."""
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        values = np.fromiter((token for text in texts for token in text), np.int32, count=int(offsets[-1]))
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[Ids]:
        return (self.values[start:end] for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    @property
    def lengths(self) -> Offsets:
        """Tokens of each text, int64[B]."""
        return np.diff(self.offsets)

    def take(self, indices: npt.ArrayLike) -> TokenBatch:
        """The texts at `indices` (int[M]), in that order, copied together without a Python loop.

        Of the spelling they keep what is theirs, so words outside the vocabulary get other ids.
        """
        chosen = np.asarray(indices, np.int64)
        lengths = self.lengths[chosen]
        offsets = np.zeros(len(chosen) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # position of every new token in the old array: start of its text + its place within the text
        shift = np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        values = self.values[np.arange(offsets[-1]) + shift]
        return TokenBatch(values, offsets) if self.spelling is None else self.spelling.part(values, offsets)

    @classmethod
    def concatenate(cls, batches: Iterable[TokenBatch]) -> TokenBatch:
        """Several batches without spelling as one, in order."""
        parts = list(batches)
        assert all(part.spelling is None for part in parts), "ids of unknown words are those of one batch"
        lengths = [part.lengths for part in parts] or [np.zeros(0, np.int64)]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
        values = np.concatenate([part.values for part in parts] or [np.zeros(0, np.int32)])
        return cls(values, offsets)

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """Which tokens the vocabulary does not have, bool[N]."""
        unknown: npt.NDArray[np.bool_] = self.values == UNKNOWN_ID
        return unknown if self.spelling is None else unknown | (self.values >= self.spelling.vocabulary)

    def unspelled(self) -> TokenBatch:
        """The same where every word outside the vocabulary is the unknown one."""
        if self.spelling is None:
            return self
        values = np.where(self.values < self.spelling.vocabulary, self.values, np.int32(UNKNOWN_ID))
        return TokenBatch(values, self.offsets)

    def with_values(self, values: Ids, offsets: Offsets | None = None) -> TokenBatch:
        """Other tokens, of the same words."""
        return replace(self, values=values, offsets=self.offsets if offsets is None else offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """How the words outside a vocabulary of that size are written: id vocabulary + i is the word of the code points
    `letters`[i], ragged. `characters` has the ids of characters of all words, for networks that read them.
    """

    vocabulary: int
    letters: TokenBatch
    characters: Characters | None = None

    def part(self, values: Ids, offsets: Offsets) -> TokenBatch:
        """Some of the batch's texts, with the spelling of their words alone; the ids are changed in place."""
        places = np.flatnonzero(values >= self.vocabulary)
        words, numbers = np.unique(values[places] - self.vocabulary, return_inverse=True)
        values[places] = self.vocabulary + numbers
        characters = self.characters and Characters(self.characters.known, self.characters.unknown.take(words))
        return TokenBatch(values, offsets, Spelling(self.vocabulary, self.letters.take(words), characters))


@dataclass(frozen=True, slots=True, eq=False)
class Characters:
    """Ragged character ids (text/spelling.py): of the vocabulary by id, and of the words outside it."""

    known: TokenBatch
    unknown: TokenBatch

    def take(self, ids: npt.ArrayLike) -> TokenBatch:
        """Those of the words of these ids, int[M], in that order."""
        chosen = np.asarray(ids, np.int64)
        outside = chosen >= len(self.known)
        if not outside.any():
            return self.known.take(chosen)
        both = TokenBatch.concatenate(
            [self.known.take(chosen[~outside]), self.unknown.take(chosen[outside] - len(self.known))]
        )
        return both.take(np.argsort(np.argsort(outside, kind="stable"), kind="stable"))


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label and its probability, in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text: `top` holds the most probable labels, best first, and is never empty.

    Where a text may have any number of labels, `labels` are those that reach their thresholds, best first, perhaps
    none. Where a model answers for several tasks, `tasks` has an answer for each, and `top` is that of the first.
    Where labels are paths in a tree, `levels` are the nodes above the best label, from the root, each as probable as
    all labels below it together. `abstained`: the best label is not probable enough to be given as an answer.
    """

    top: tuple[LabelScore, ...]
    labels: tuple[LabelScore, ...] | None = None
    tasks: Mapping[str, Prediction] | None = None
    levels: tuple[LabelScore, ...] | None = None
    abstained: bool = False

    @property
    def label(self) -> str:
        return self.top[0].label

    @property
    def probability(self) -> float:
        return self.top[0].probability

    @property
    def given(self) -> tuple[str, ...]:
        """The labels that are the answer: none where it abstained or none was reached; of tasks "task=label"."""
        if self.tasks is not None:
            return tuple(f"{task}{BETWEEN}{label}" for task, found in self.tasks.items() for label in found.given)
        if self.labels is not None:
            return tuple(score.label for score in self.labels)
        return () if self.abstained else (self.label,)

    @property
    def confidences(self) -> tuple[float, ...]:
        """The probability of the best label; with several tasks, of each."""
        if self.tasks is not None:
            return tuple(found.probability for found in self.tasks.values())
        return (self.probability,)


def task_labels(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The labels of each task, from names "task=label"."""
    tasks: dict[str, list[str]] = {}
    for name in names:
        task, _, label = name.partition(BETWEEN)
        tasks.setdefault(task, []).append(label)
    return {task: tuple(labels) for task, labels in tasks.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The `top_k` best labels of each text as columns: no object a text.

    `best` int64[B, top_k] are their indices, best first, and `probabilities` float32[B, top_k] theirs; `abstained`
    bool[B] as in Prediction.
    """

    best: npt.NDArray[np.int64]
    probabilities: Floats
    abstained: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Winners:
    """The windows of tokens behind every logit: logits == activations @ weight.T + bias.

    `activations` float32[B, F], after max over time; each was computed from the tokens starts..ends - 1 of its text
    (int32[B, F]), as far as those are inside the text: both may lie beyond its ends, in the padding. An empty text has
    activations of zero. `weight` is float32[classes, F], `bias` float32[classes], `logits` float32[B, classes].

    `word_parts(weight, slots, count)` takes the activations apart by word, where a pre-activation is a sum over the
    words of its window; it is None where that is not so (several layers). Every activation belongs to a slot,
    int32[B, F] (-1: to none), whose windows hold the same tokens. It returns float64[count, widest window]: for each
    slot and each of its tokens, in order, the sum over its activations of weight float32[B, F] x activation /
    pre-activation x what the token adds to the pre-activation.

    With `beside`, the n-grams of a linear model are part of the logits too, and its bias of `bias`. It adds what they
    contribute to logit targets[i] of text i, or to the sum of signs[i] x logits, and says how much of each is theirs.
    """

    logits: Floats
    activations: Floats
    starts: Ids
    ends: Ids
    weight: Floats
    bias: Floats
    word_parts: Callable[[Floats, Ids, int], Parts] | None
    beside: AddEvidence | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The n-grams behind one logit of each text of a batch, as columns: n-grams offsets[i]..offsets[i + 1] - 1 are
    those of text i, in its order.

    Each holds tokens starts..ends - 1 of its text, int64[M], and contributes float64[M]. `slots` int32[B, F], if it was
    asked for, says which n-gram each activation went into, -1 for those that contribute nothing.
    """

    offsets: Offsets
    starts: Offsets
    ends: Offsets
    contributions: Parts
    slots: Ids | None = None


# (evidence, targets int64[B], signs float32[B, classes] or None) -> (evidence, float64[its n-grams])
AddEvidence = Callable[[Evidence, Offsets, Floats | None], tuple[Evidence, Parts]]


@dataclass(frozen=True, slots=True)
class TokenPart:
    """A token of an n-gram: the characters text[start:end], and its part of the n-gram's contribution.

    The filters that chose the n-gram see its words only through sums, filter bias + what each word adds. `contribution`
    is what this word adds, times activation / sum, times the label's weight, over those filters. So the parts of the
    tokens and of the filters' biases make up the contribution of the n-gram. `known` is False for what the vocabulary
    does not have.
    """

    start: int
    end: int
    text: str
    contribution: float
    known: bool


@dataclass(frozen=True, slots=True)
class Ngram:
    """Some neighbouring tokens, and what they add to the logit of a label (negative: they speak against it).

    `start` and `end` count code points of the text: `text` is text[start:end]. Where truncation took tokens out of its
    middle, `cut` is True, and `text` has " … " in place of the characters that the model did not read (the
    `unread` of the explanation). `tokens` is empty where a method cannot tell the parts. Of a record of several texts,
    `segment` says which one `start` and `end` count in, from 0.
    """

    start: int
    end: int
    text: str
    contribution: float
    tokens: tuple[TokenPart, ...] = ()
    cut: bool = False
    segment: int | None = None

    @property
    def unknown(self) -> float:
        """What words outside the vocabulary contribute."""
        return sum(token.contribution for token in self.tokens if not token.known)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "contribution": round(self.contribution, DECIMALS),
            "tokens": [
                {
                    "start": token.start,
                    "end": token.end,
                    "text": token.text,
                    "contribution": round(token.contribution, DECIMALS),
                    "known": token.known,
                }
                for token in self.tokens
            ],
            "cut": self.cut,
            **({} if self.segment is None else {"segment": self.segment}),
        }


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How well the order of some n-grams agrees with the model: areas below curves of the label's probability, 0 to 1.

    `deletion`: the tokens of the text are taken away, strongest first; small where the explanation is right.
    `insertion`: they are added to nothing, strongest first; large where it is right (Petsiuk et al. 2018).
    """

    deletion: float
    insertion: float

    def to_dict(self) -> dict[str, float]:
        """Plain values, as JSON has them."""
        return {"deletion": round(self.deletion, DECIMALS), "insertion": round(self.insertion, DECIMALS)}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one text gets the `logit` of one label: bias + contributions of all `ngrams` + `rest`, strongest first.

    `rest` are the n-grams left out by `top_n`, and what the method cannot attribute. `method` is "ngrams" (exact: each
    contribution is what the network adds up), or one of those that are not exact, where each word is an n-gram and
    `faithfulness` says how far to trust it: "occlusion" (the change of the logit when a token is left out), "grad_cam",
    "integrated_gradients". `unread` are the characters, from and to, that truncation cut off; of a record of several
    texts those of the first one that was cut, which `unread_segment` numbers from 0.
    """

    label: str
    probability: float
    logit: float
    bias: float
    ngrams: tuple[Ngram, ...]
    rest: float
    method: ExplanationMethod
    exact: bool
    faithfulness: Faithfulness | None = None
    unread: tuple[int, int] | None = None
    unread_segment: int | None = None

    def in_record(self, record: str) -> Explanation:
        """The same with all characters counted in the one string of a record of several texts."""
        begins = text_begins(split_texts(record))
        ngrams = (
            replace(n, start=n.start + begins[n.segment], end=n.end + begins[n.segment], segment=None)
            if n.segment is not None
            else n
            for n in self.ngrams
        )
        unread, begin = self.unread, begins[self.unread_segment or 0]
        return replace(
            self, ngrams=tuple(ngrams), unread=unread and (unread[0] + begin, unread[1] + begin), unread_segment=None
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them; numbers to 7 decimals, so that they still add up within 1e-5."""
        return {
            "label": self.label,
            "probability": round(self.probability, DECIMALS),
            "logit": round(self.logit, DECIMALS),
            "bias": round(self.bias, DECIMALS),
            "ngrams": [ngram.to_dict() for ngram in self.ngrams],
            "rest": round(self.rest, DECIMALS),
            "method": self.method,
            "exact": self.exact,
            "faithfulness": self.faithfulness and self.faithfulness.to_dict(),
            "unread": self.unread and list(self.unread),
            **({} if self.unread_segment is None else {"unread_segment": self.unread_segment}),
        }


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text, the code points text[start:end], and what it adds to the margin of a label over others."""

    start: int
    end: int
    text: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The sentences, in order, that carry a label, out of `total`.

    `probability` is that of the label for the whole text, `summary_probability` for these sentences alone; `agrees`:
    both get the same label.
    """

    label: str
    probability: float
    sentences: tuple[Sentence, ...]
    total: int
    summary_probability: float
    agrees: bool

    @property
    def text(self) -> str:
        """The sentences, joined by spaces."""
        return " ".join(sentence.text for sentence in self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them, `text` among them."""
        return {**asdict(self), "text": self.text}


@dataclass(frozen=True, slots=True)
class Change:
    """The word text[start:end], and what is written in its place: another word, or nothing."""

    start: int
    end: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What would have to be different for another label: `changes` make `text` of a text that has label `before`.

    The model gives `label` to `text`, with `probability`. `minimal`: all smaller changes of the kinds that were tried
    (some words taken away, or replaced by words that speak for the other label) leave the label as it is.
    """

    before: str
    text: str
    label: str
    probability: float
    changes: tuple[Change, ...]
    minimal: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {**asdict(self), "probability": round(self.probability, DECIMALS)}
