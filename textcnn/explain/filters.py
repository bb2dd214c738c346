"""What the filters of a convolution look for: the n-grams that excite each most, the label it votes for, and whether it
is of any use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from textcnn.kernels.windows import Windows
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import Floats, Ids, Offsets, TokenBatch, Winners

TEXTS_AT_ONCE = 2048
DECIMALS = 5
SAME = 1e-6  # activations or votes that differ by less are the same
ALIKE = 0.95  # cosine of two filters' weights, from which on one is called a duplicate of the other


class Table(Protocol):
    """See textcnn.inference.ngram_table."""

    windows: Windows

    def best_words(self) -> tuple[Ids, Floats]: ...


class Network(Protocol):
    """Embedding -> one convolution -> max over time -> linear layer; see textcnn.inference.ngram_table."""

    bias: Floats
    head_weight: Floats

    @property
    def table(self) -> Table: ...

    def activate(self, sums: Floats) -> Floats: ...

    def winners(self, batch: TokenBatch) -> Winners | None: ...


@dataclass(frozen=True, slots=True)
class Example:
    """An n-gram of the corpus, as it stands there first, and its activation."""

    text: str
    activation: float


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of the convolution.

    `votes` are its weights for the labels, less their mean, which moves no probability; `label` is the one it raises
    most. `ideal` is the n-gram with the highest activation that any text could give, `ideal_activation`: at every
    place the word of the vocabulary that adds most there (`ideal_parts`; a place left empty is the text's end).

    `active` is the share of the corpus in which it says anything, `mean_activation` what it says on average, and
    `influence` how far its votes then move labels apart (standard deviation over labels x mean activation). Without a
    corpus there are no `examples` and these are None; filters are then ordered by their votes alone.

    `dead`: it says the same whatever the text, or the same for all labels. `duplicate_of` is the first filter with
    nearly its weights.
    """

    number: int
    width: int
    label: str
    votes: tuple[float, ...]
    ideal: tuple[str, ...]
    ideal_parts: tuple[float, ...]
    ideal_activation: float
    examples: tuple[Example, ...]
    active: float | None
    mean_activation: float | None
    influence: float | None
    dead: bool
    duplicate_of: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them; votes and activations to 5 decimals."""
        short = {
            "votes": [round(vote, DECIMALS) for vote in self.votes],
            "ideal_parts": [round(part, DECIMALS) for part in self.ideal_parts],
            "ideal_activation": round(self.ideal_activation, DECIMALS),
            "examples": [{"text": one.text, "activation": round(one.activation, DECIMALS)} for one in self.examples],
        }
        return {**asdict(self), **short}


def describe_filters(
    network: Network,
    weight: Floats,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    texts: Sequence[str] = (),
    *,
    top_n: int = 10,
    tell: Callable[[float], None] = lambda share: None,
) -> list[Filter]:
    """All filters, those with the greatest influence first; `top_n` examples of each out of `texts`.

    `tell` gets the share of the texts that is behind, 0 to 1.
    `weight` float32[windows.rows, dim] are the filters as `Windows` lays them out.
    """
    windows = network.table.windows
    votes = network.head_weight - network.head_weight.mean(axis=0)  # [labels, filters]
    corpus = _Corpus(network, tokenizer, texts, top_n, tell) if len(texts) else None
    duplicates = _duplicates(weight, windows)
    ideals = _ideals(network, tokenizer.tokens)
    silent = np.ptp(votes, axis=0) < SAME
    strength = votes.std(axis=0)
    if corpus:
        silent |= corpus.highest - corpus.lowest < SAME
        strength = strength * np.abs(corpus.mean)
    filters = []
    for number in np.argsort(-strength, kind="stable").tolist():
        words, parts, activation, cannot = ideals[number]
        filters.append(
            Filter(
                number=number,
                width=int(windows.width_of_feature[number]),
                label=labels[int(votes[:, number].argmax())],
                votes=tuple(votes[:, number].tolist()),
                ideal=words,
                ideal_parts=parts,
                ideal_activation=activation,
                examples=corpus.examples(number) if corpus else (),
                active=float(corpus.active[number]) if corpus else None,
                mean_activation=float(corpus.mean[number]) if corpus else None,
                influence=float(strength[number]) if corpus else None,
                dead=bool(silent[number]) or cannot,
                duplicate_of=duplicates.get(number),
            )
        )
    return filters


class _Corpus:
    """What the filters say in some texts: lowest, highest and mean activation, share of texts; n-grams on demand."""

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        top_n: int,
        tell: Callable[[float], None],
    ) -> None:
        features = network.table.windows.features
        self._top_n = top_n
        # by filter: the tokens of an n-gram -> activation and characters, the strongest first
        self._found: list[dict[tuple[int | str, ...], Example]] = [{} for _ in range(features)]
        self.lowest, self.highest = np.full(features, np.inf), np.full(features, -np.inf)
        total, loud = np.zeros(features), np.zeros(features)
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[first : first + TEXTS_AT_ONCE]
            reading = tokenizer.read(some)
            batch = reading.batch if tokenizer.spelled == "all" else reading.batch.unspelled()
            winners = network.winners(batch)
            assert winners is not None
            np.minimum(self.lowest, winners.activations.min(axis=0), out=self.lowest)
            np.maximum(self.highest, winners.activations.max(axis=0), out=self.highest)
            total += winners.activations.sum(axis=0, dtype=np.float64)
            loud += (winners.activations > SAME).sum(axis=0)
            self._collect(winners, batch, reading.spans, some)
            tell(min(first + TEXTS_AT_ONCE, len(texts)) / len(texts))
        self.mean, self.active = total / len(texts), loud / len(texts)

    def _collect(self, winners: Winners, batch: TokenBatch, spans: Offsets, texts: Sequence[str]) -> None:
        starts = np.maximum(winners.starts, 0)
        ends = np.minimum(winners.ends, batch.lengths[:, None])
        order = np.argsort(-winners.activations, axis=0, kind="stable")
        for feature, found in enumerate(self._found):
            fresh = 0
            for row in order[:, feature].tolist():
                activation = float(winners.activations[row, feature])
                if activation <= SAME or fresh == self._top_n:
                    break
                begin = int(batch.offsets[row])
                first, last = begin + int(starts[row, feature]), begin + int(ends[row, feature])
                text = texts[row][spans[first, 0] : spans[last - 1, 1]]
                # where words are spelled, the id of an unknown one is its own in this batch only
                spelled = batch.spelling is not None and batch.unknown[first:last].any()
                key = (text,) if spelled else tuple(batch.values[first:last].tolist())
                if key not in found:
                    found[key] = Example(text, activation)
                    fresh += 1
            best = sorted(found.items(), key=lambda item: -item[1].activation)
            self._found[feature] = dict(best[: self._top_n])

    def examples(self, number: int) -> tuple[Example, ...]:
        return tuple(self._found[number].values())


def _ideals(network: Network, tokens: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[float, ...], float, bool]]:
    """For every filter: words, what each adds, the activation, and whether no text can make it say anything."""
    windows, (words, values) = network.table.windows, network.table.best_words()
    found = []
    for width, filters, row, feature, left in windows.groups():
        right = windows.pad(width)[1]
        ids = words[row : row + width * filters].reshape(width, filters)
        parts = values[row : row + width * filters].reshape(width, filters).astype(np.float64)
        for j in range(filters):
            # at the ends of a text a window may hang over: then places add nothing
            first, last = max(
                ((i, width - k) for i in range(left + 1) for k in range(right + 1) if i < width - k),
                key=lambda bounds: (parts[bounds[0] : bounds[1], j].sum(), bounds[1] - bounds[0]),
            )
            total = np.float32(parts[first:last, j].sum() + network.bias[feature + j])
            activation = float(network.activate(np.array([total]))[0])
            found.append(
                (
                    tuple(tokens[number] for number in ids[first:last, j].tolist()),
                    tuple(parts[first:last, j].tolist()),
                    activation,
                    activation == 0.0 and float(total) <= 0.0,
                )
            )
    return found


def _duplicates(weight: Floats, windows: Windows) -> dict[int, int]:
    """Filters with nearly the weights of an earlier one, and that one."""
    earlier: dict[int, int] = {}
    for width, filters, row, feature, _ in windows.groups():
        kernel = weight[row : row + width * filters].reshape(width, filters, -1).swapaxes(0, 1).reshape(filters, -1)
        norms = np.linalg.norm(kernel, axis=1, keepdims=True)
        unit: npt.NDArray[np.floating[Any]] = kernel / np.maximum(norms, 1e-30)
        alike = np.tril(unit @ unit.T >= ALIKE, -1)
        for j in np.flatnonzero(alike.any(axis=1)).tolist():
            earlier[feature + j] = feature + int(alike[j].argmax())
    return earlier
