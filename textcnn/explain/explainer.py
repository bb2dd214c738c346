"""Explanations of texts, by whichever way is exact for the network that answers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from textcnn.errors import EngineError
from textcnn.explain.faithfulness import Attribution, Probabilities, faithfulness
from textcnn.explain.ngram_evidence import ngram_evidence
from textcnn.explain.occlusion import occlude
from textcnn.text.tokenizers import Reading, Tokenizer
from textcnn.types import (
    Evidence,
    Explanation,
    ExplanationMethod,
    Floats,
    Ngram,
    Offsets,
    Parts,
    TokenBatch,
    TokenPart,
    Winners,
    split_texts,
    text_begins,
)

if TYPE_CHECKING:
    from textcnn.nn.model import Network

TEXTS_AT_ONCE = 256  # what is known of their windows fits in the second-level cache
DIRECT_AT_ONCE = 4096  # where nothing but the n-grams themselves is kept of them
CUT = " … "
Targets = npt.NDArray[np.int64]
# a batch of one text, and the class to explain or None for the most probable
Attribute = Callable[[TokenBatch, int | None], Attribution]


class Model(Protocol):
    """What runs the network; see textcnn.inference.engine."""

    def logits(self, batch: TokenBatch) -> Floats: ...

    def winners(self, batch: TokenBatch) -> Winners | None: ...


@runtime_checkable
class Direct(Protocol):
    """What has the n-grams behind the largest logits in one go, before anybody asks for others."""

    def evidence(self, batch: TokenBatch) -> tuple[Floats, Targets, Evidence]: ...


@runtime_checkable
class Wide(Protocol):
    """What has a linear classifier on n-grams beside its network; see textcnn.inference.wide."""

    def word_shares(self, batch: TokenBatch, targets: Targets) -> tuple[Parts, Parts]: ...


def explain_texts(
    model: Model,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    probabilities: Probabilities,
    targets: Targets | None = None,
    top_n: int | None = None,
    method: ExplanationMethod | None = None,
    network: Network | None = None,
    on_tokenized: Callable[[float, TokenBatch], None] | None = None,
) -> list[Explanation]:
    """The explanation of logits[i, targets[i]] of every text i; without targets, of the most probable label.

    `probabilities` turns logits float32[B, classes] into float32[B, classes]. `network` is what gradients are taken of,
    in eval mode. `on_tokenized` is told as by textcnn.fitted.Fitted. See TextClassifier.explain.
    """
    attribute = _attribute(model, probabilities, method, network)
    explained: list[Explanation] = []
    apart = tokenizer.segments == "columns"
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        part = slice(first, first + TEXTS_AT_ONCE)
        some, wanted = texts[part], None if targets is None else targets[part]
        started = perf_counter()
        reading = tokenizer.read(some)
        if on_tokenized:
            on_tokenized(perf_counter() - started, reading.batch)
        winners = model.winners(reading.batch) if method in (None, "ngrams") else None
        if winners is not None:
            explained += _by_ngrams(winners, reading, labels, some, probabilities, wanted, top_n, apart)
        else:
            assert method != "ngrams", "methods_of says which networks add up n-grams"
            name = method or "occlusion"
            explained += _by_words(attribute, name, reading, labels, some, probabilities, wanted, top_n, apart)
    return explained


def methods_of(model: Model, tokenizer: Tokenizer) -> tuple[ExplanationMethod, ...]:
    """The ways in which a model can be explained here, the usual one first."""
    found: list[ExplanationMethod] = ["occlusion"]
    if model.winners(tokenizer.encode([""])) is not None:
        found.insert(0, "ngrams")
    if find_spec("torch") and tokenizer.segments == "none":  # gradients are of a text that is read as a whole
        found.append("grad_cam")
        if find_spec("captum") and find_spec("matplotlib"):  # which captum imports
            found.append("integrated_gradients")
    return tuple(found)


def wants_network(model: Model, tokenizer: Tokenizer, method: ExplanationMethod | None) -> bool:
    """Whether a method takes gradients of a network. Raises ValueError, EngineError for one that does not go here."""
    if method is None or method == "occlusion":
        return False
    if method not in get_args(ExplanationMethod):
        raise ValueError(f"method is {method!r}, expected one of {', '.join(get_args(ExplanationMethod))}")
    if method == "ngrams":
        if (usual := methods_of(model, tokenizer)[0]) != method:
            raise EngineError(f"this network does not add up n-grams; leave the method out for {usual}")
        return False
    if tokenizer.segments != "none":
        raise EngineError(f"method {method} is for networks that read a text as a whole; this one joins segments")
    return True


def _attribute(
    model: Model, probabilities: Probabilities, method: ExplanationMethod | None, network: Network | None
) -> Attribute:
    """How words get their contributions, of a batch of one text, where n-grams do not."""
    if method in (None, "ngrams", "occlusion"):
        return lambda text, target: occlude(model.logits, text, probabilities, target)
    from textcnn.explain import gradients

    assert network is not None, "gradients are those of a network"
    ways: dict[str, gradients.Gradients] = {
        "grad_cam": gradients.grad_cam, "integrated_gradients": gradients.integrated_gradients,
    }  # fmt: skip

    def attribute(text: TokenBatch, target: int | None) -> Attribution:
        (logits,) = model.logits(text)
        target = int(probabilities(logits[None])[0].argmax()) if target is None else target
        contributions, bias = np.zeros(0), float(logits[target])
        if len(text.values):
            contributions, bias = ways[str(method)](network, text, target)
            if isinstance(model, Wide):
                shares, own = model.word_shares(text, np.array([target]))
                contributions, bias = contributions + shares, bias + float(own[0])
        starts = np.arange(len(text.values))
        trust = faithfulness(model.logits, text, starts, contributions, probabilities, target)
        return Attribution(target, starts, starts + 1, contributions, logits, bias, trust)

    return attribute


def evidence_of(
    model: Model, tokenizer: Tokenizer, texts: Sequence[str]
) -> Iterator[tuple[Reading, Targets, Evidence]]:
    """The n-grams behind the largest logit of every text, as columns: what explain_texts has before it makes objects.

    Some texts at a time: their tokens and characters, the class index of the label, the n-grams. Only for models whose
    engine knows the winners.
    """
    at_once = DIRECT_AT_ONCE if isinstance(model, Direct) else TEXTS_AT_ONCE
    for first in range(0, len(texts), at_once):
        reading = tokenizer.read(texts[first : first + at_once])
        if isinstance(model, Direct):
            _, targets, evidence = model.evidence(reading.batch)
        else:
            winners = model.winners(reading.batch)
            assert winners is not None
            targets = winners.logits.argmax(1)
            evidence, _ = ngram_evidence(reading.batch, winners, targets)
        yield reading, targets, evidence


def _by_ngrams(
    winners: Winners, reading: Reading, labels: Sequence[str], texts: Sequence[str],
    probabilities: Probabilities, targets: Targets | None, top_n: int | None, apart: bool,
) -> list[Explanation]:  # fmt: skip
    batch, rows = reading.batch, np.arange(len(texts))
    found = probabilities(winners.logits)
    targets = found.argmax(1) if targets is None else targets
    evidence, linear = ngram_evidence(batch, winners, targets, slots=winners.word_parts is not None)
    text = np.repeat(rows, np.diff(evidence.offsets))
    # strongest first within each text
    order = np.lexsort((-np.abs(evidence.contributions), text))
    rank = np.arange(len(order)) - evidence.offsets[text]
    kept = order if top_n is None else order[rank < top_n]
    bounds = np.searchsorted(text[kept], np.arange(len(texts) + 1)).tolist()
    left_out = evidence.contributions.copy()
    left_out[kept] = 0.0
    rest = np.bincount(text, left_out, minlength=len(texts)).tolist()
    parts: list[list[float]] | list[None] = [None] * len(kept)
    if winners.word_parts and evidence.slots is not None:
        slot_of = np.full(len(order) + 1, -1, np.int32)  # the last one: of what is in no n-gram
        slot_of[kept] = np.arange(len(kept), dtype=np.int32)
        by_word = winners.word_parts(winners.weight[targets], slot_of[evidence.slots], len(kept))
        if linear is not None:
            by_word = _shared_out(by_word, linear[kept], (evidence.ends - evidence.starts)[kept])
        parts = by_word.tolist()
    begin = batch.offsets[text[kept]]
    columns = (begin + evidence.starts[kept], begin + evidence.ends[kept], evidence.contributions[kept])
    ngrams = list(zip(*(column.tolist() for column in columns), parts, strict=True))
    write = NgramWriter(reading, apart=apart)
    return [
        Explanation(
            label=labels[target],
            probability=probability,
            logit=logit,
            bias=bias,
            ngrams=tuple(write(texts[row], row, *ngram) for ngram in ngrams[bounds[row] : bounds[row + 1]]),
            rest=rest[row],
            method="ngrams",
            exact=True,
            **write.unread(texts[row], row),
        )
        for row, (target, probability, logit, bias) in enumerate(
            zip(
                targets.tolist(),
                found[rows, targets].tolist(),
                winners.logits[rows, targets].tolist(),
                winners.bias[targets].tolist(),
                strict=True,
            )
        )
    ]


def _shared_out(parts: Parts, linear: Parts, sizes: Offsets) -> Parts:
    """`parts` float64[n-grams, tokens] with what a linear model gives an n-gram as a whole, in equal parts."""
    widest = max(parts.shape[1], int(sizes.max(initial=0)))
    found = np.pad(parts, ((0, 0), (0, widest - parts.shape[1])))
    found += (np.arange(widest) < sizes[:, None]) * (linear / sizes)[:, None]
    return found


def _by_words(
    attribute: Attribute, method: ExplanationMethod, reading: Reading, labels: Sequence[str], texts: Sequence[str],
    probabilities: Probabilities, targets: Targets | None, top_n: int | None, apart: bool,
) -> list[Explanation]:  # fmt: skip
    explained = []
    write = NgramWriter(reading, apart=apart)
    for row in range(len(texts)):
        found = attribute(reading.batch.take([row]), None if targets is None else int(targets[row]))
        first = int(reading.batch.offsets[row])
        kept = np.argsort(-np.abs(found.contributions), kind="stable")[:top_n].tolist()
        starts, ends = (found.starts + first).tolist(), (found.ends + first).tolist()
        contributions = found.contributions.tolist()
        logit = float(found.logits[found.target])
        explained.append(
            Explanation(
                label=labels[found.target],
                probability=float(probabilities(found.logits[None])[0, found.target]),
                logit=logit,
                bias=found.bias,
                ngrams=tuple(write(texts[row], row, starts[u], ends[u], contributions[u], None) for u in kept),
                rest=logit - found.bias - sum(contributions[u] for u in kept),
                method=method,
                exact=False,
                faithfulness=found.faithfulness,
                **write.unread(texts[row], row),
            )
        )
    return explained


class NgramWriter:
    """N-grams as characters of a text, from n-grams as tokens of a batch. With `apart` texts are records of several."""

    def __init__(self, reading: Reading, *, apart: bool = False) -> None:
        self._apart = apart
        self._spans: list[list[int]] = reading.spans.tolist()
        self._unread: list[list[int]] = reading.unread.tolist()
        self._known: list[bool] = (~reading.batch.unknown).tolist()

    def unread(self, text: str, row: int) -> dict[str, Any]:
        """The characters of text `row` that truncation cut off, as fields of an Explanation."""
        start, end = self._unread[row]
        if start >= end:
            return {}
        segment, begin = self._segment(text, start)
        return {"unread": (start - begin, end - begin), "unread_segment": segment}

    def _segment(self, text: str, start: int) -> tuple[int | None, int]:
        """Which text of a record the character is in, and where that begins."""
        if not self._apart:
            return None, 0
        begins = text_begins(split_texts(text))
        segment = bisect_right(begins, start) - 1
        return segment, begins[segment]

    def __call__(
        self, text: str, row: int, first: int, last: int, contribution: float, parts: Sequence[float] | None
    ) -> Ngram:
        """The n-gram of tokens first..last - 1 of the batch, which are of text `row`, and the part of each token."""
        spans = self._spans[first:last]
        start, end = spans[0][0], spans[-1][1]
        gap, beyond = self._unread[row]
        cut = start <= gap < beyond <= end
        tokens: tuple[TokenPart, ...] = ()
        if parts is not None:
            # `parts` has room for the widest window
            tokens = tuple(
                TokenPart(a, b, text[a:b], part, known)
                for (a, b), part, known in zip(spans, parts, self._known[first:last], strict=False)
            )
        written = f"{text[start:gap].rstrip()}{CUT}{text[beyond:end].lstrip()}" if cut else text[start:end]
        segment, begin = self._segment(text, start)
        return Ngram(start - begin, end - begin, written, contribution, tokens, cut, segment)
