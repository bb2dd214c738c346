"""The sentences of a long text that carry its label.

A sentence is worth what its n-grams add to the margin between the label and the strongest other one (where labels do
not exclude each other, to the logit), which is exact where the network adds up n-grams; elsewhere what the margin loses
when the sentence is left out. Denil et al. (2014, section 4) chose sentences by the gradient of a document network, a
first-order guess at the same loss; after max over time, or with the sentence really left out, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from textcnn.answers import Head, decide, rivals
from textcnn.explain.explainer import Model, Targets
from textcnn.explain.faithfulness import Probabilities, variants
from textcnn.explain.ngram_evidence import signed_evidence
from textcnn.text.segments import Bounds, sentence_of, split_sentences
from textcnn.text.tokenizers import Reading, Tokenizer
from textcnn.types import Floats, Offsets, Parts, Sentence, Summary

TEXTS_AT_ONCE = 256


def summarize_texts(
    model: Model,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    head: Head,
    probabilities: Probabilities,
    targets: Targets | None = None,
    sentences: int = 3,
    share: float | None = None,
    language: str,
) -> list[Summary]:
    """A summary of every text; see TextClassifier.summarize."""
    summaries: list[Summary] = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        some = texts[first : first + TEXTS_AT_ONCE]
        reading = tokenizer.read(some)
        logits = model.logits(reading.batch)
        found = probabilities(logits)
        wanted = found.argmax(1) if targets is None else targets[first : first + TEXTS_AT_ONCE]
        bounds = [split_sentences(text, language) for text in some]
        worth = _worth(model, reading, bounds, _against(logits, wanted, rivals(head, len(labels))))
        kept = [_kept(values, b, sentences, share) for values, b in zip(worth, bounds, strict=True)]
        chosen = [
            tuple(Sentence(*b[i], text[slice(*b[i])], float(values[i])) for i in places)
            for text, places, b, values in zip(some, kept, bounds, worth, strict=True)
        ]
        alone = probabilities(model.logits(tokenizer.encode([" ".join(one.text for one in row) for row in chosen])))
        rows = np.arange(len(some))
        agrees = [a == b for a, b in zip(decide(found, labels, head), decide(alone, labels, head), strict=True)]
        whole, rest = found[rows, wanted].tolist(), alone[rows, wanted].tolist()
        columns = (wanted, whole, chosen, map(len, bounds), rest, agrees)
        summaries += [Summary(labels[target], *values) for target, *values in zip(*columns, strict=True)]
    return summaries


def _against(logits: Floats, targets: Targets, rivals: npt.NDArray[np.bool_]) -> Floats:
    """What to add up for the margin of the target over its strongest rival, if any: 1, -1 or 0, float32[B, C]."""
    rows = np.arange(len(targets))
    signs = np.zeros_like(logits)
    signs[rows, targets] = 1.0
    strongest = np.where(rivals[targets], logits, -np.inf).argmax(1)
    signs[rows, strongest] -= rivals[targets].any(axis=1)
    return signs


def _worth(model: Model, reading: Reading, bounds: list[Bounds], signs: Floats) -> list[Parts]:
    """What each sentence adds to the sum of signs x logits."""
    batch = reading.batch
    owners = _owners(reading, bounds)
    winners = model.winners(batch)
    worth = []
    if winners is None:
        for row, (owner, b, sign) in enumerate(zip(owners, bounds, signs, strict=True)):
            text = batch.take([row])
            whole = np.ones((1, len(text.values)), bool)
            without = owner[None] != np.arange(len(b))[:, None]
            margins = model.logits(variants(text, np.concatenate([whole, without]))).astype(np.float64) @ sign
            worth.append(margins[0] - margins[1:])
        return worth
    evidence = signed_evidence(batch, winners, signs)
    for row, (owner, b) in enumerate(zip(owners, bounds, strict=True)):
        part = slice(evidence.offsets[row], evidence.offsets[row + 1])
        # an n-gram across sentences counts for that of its middle token
        middle = (evidence.starts[part] + evidence.ends[part] - 1) // 2
        worth.append(np.bincount(owner[middle], evidence.contributions[part], minlength=len(b)))
    return worth


def _owners(reading: Reading, bounds: list[Bounds]) -> list[Offsets]:
    """The sentence of every token, by text: int64[T]. A break between two sentences counts to the second."""
    own = zip(reading.batch.offsets[:-1], reading.batch.offsets[1:], bounds, strict=True)
    return [sentence_of(reading.spans[start:end], b) for start, end, b in own]


def _kept(worth: Parts, bounds: Bounds, sentences: int, share: float | None) -> list[int]:
    """The best sentences, in order: as many as asked for, of those that speak for the label; at least one."""
    order = [i for i in np.argsort(-worth, kind="stable").tolist() if worth[i] > 0] or [*range(len(bounds))][:1]
    if share is None:
        return sorted(order[:sentences])
    room = share * sum(end - start for start, end in bounds)
    kept: list[int] = []
    for place in order:
        room -= bounds[place][1] - bounds[place][0]
        if kept and room < 0:
            break
        kept.append(place)
    return sorted(kept)
