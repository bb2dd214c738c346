"""What is applied to every logit: probabilities, abstaining, label sets, and how familiar a text is. Numpy only.

A row is worked on by itself and in float64, so a text has the same answer alone and in any batch.
"""

from __future__ import annotations

from functools import cached_property
from numbers import Real
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from textcnn.choices import CalibrationMethod
from textcnn.errors import ArtifactError, DataError
from textcnn.kernels.softmax import softmax
from textcnn.types import Bools, Exact, Floats, Offsets

Probability = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Curve(Frozen):
    """A rising step line: a probability `before` becomes the one `after`, straight between the points."""

    before: tuple[Probability, ...]
    after: tuple[Probability, ...]

    @model_validator(mode="after")
    def _points_match(self) -> Curve:
        if len(self.before) != len(self.after) or not self.before or list(self.before) != sorted(self.before):
            raise ValueError("a curve needs as many points before as after, at least one, in rising order")
        return self


class Calibration(Frozen):
    """How a model's logits become answers; fitted on validation texts by textcnn.calibration.fit.

    `temperature` divides the logits (Guo et al. 2017, section 4.2), and then `doubt` is spread over all classes alike:
    the share of texts that are labelled as if by chance, which no confidence may exceed. `scale` and `shift`, one
    number a class, are vector scaling (the same paper); `curves`, one a class, are isotonic regression (Zadrozny and
    Elkan 2002), after which a row is brought back to the sum 1. `thresholds`, one a class, are the least probabilities
    with which it is answered. `least` holds for coverages of 1 % to 99 % the least probability of a label in the set.
    `quantiles` are those of the familiarity of validation texts.
    """

    method: CalibrationMethod = "none"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    doubt: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    curves: tuple[Curve, ...] = ()
    thresholds: tuple[Annotated[float, Field(ge=0)], ...] = ()
    least: tuple[Probability, ...] = ()
    quantiles: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, text: str | bytes, *, classes: int) -> Calibration:
        """Raises ArtifactError for what is no calibration of a model with that many classes."""
        try:
            read = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ArtifactError(f"not a calibration: {where + ': ' if where else ''}{first['msg']}") from None
        read.check(classes)
        return read

    def check(self, classes: int) -> None:
        """Raises ArtifactError where a table has not one entry a class, or a coverage is missing."""
        needed = {"vector": ("scale", "shift"), "isotonic": ("curves",)}.get(self.method, ())
        for name in ("scale", "shift", "curves", "thresholds"):
            count = len(getattr(self, name))
            if count != classes and (count or name in needed):
                raise ArtifactError(f"not a calibration of this model: {count} {name} for {classes} labels")
        if len(self.least) not in (0, len(COVERAGES)):
            raise ArtifactError(f"not a calibration: least has {len(self.least)} entries, expected {len(COVERAGES)}")

    def to_json(self) -> str:
        return self.model_dump_json(indent=2, exclude_defaults=True) + "\n"

    def changed(self, **values: Any) -> Calibration:
        """The same with other values. pydantic's model_copy would take along the arrays made of the old ones."""
        return Calibration(**{**self.model_dump(), **values})

    def probabilities(self, logits: Floats) -> Floats:
        """Of logits float32[B, classes]; each row sums to 1."""
        if self.method == "vector":
            logits = (logits * self._scale + self._shift).astype(np.float32)
        shares = softmax(logits, temperature=self.temperature, doubt=self.doubt)
        if self.method != "isotonic":
            return shares
        exact = shares.astype(np.float64)
        mapped = np.stack(
            [np.interp(exact[:, i], curve.before, curve.after) for i, curve in enumerate(self.curves)], axis=1
        )
        total = mapped.sum(axis=1, keepdims=True)
        # where every curve says 0, the network's own answer stands
        return np.where(total > 0, mapped / np.where(total > 0, total, 1.0), exact).astype(np.float32)

    @cached_property
    def _scale(self) -> Exact:
        return np.array(self.scale)

    @cached_property
    def _shift(self) -> Exact:
        return np.array(self.shift)

    @cached_property
    def _thresholds(self) -> Exact:
        return np.array(self.thresholds)

    def abstains(self, best: Offsets, probability: Floats, *, at_least: float | None = None) -> Bools:
        """Which rows have no answer, bool[B]: the probability of the `best` class, int64[B], is too small.

        `at_least` takes the place of the fitted thresholds; without either every row is answered. Raises DataError for
        one that is no probability.
        """
        if at_least is not None:
            if not isinstance(at_least, Real) or not 0 <= at_least <= 1:
                raise DataError(f"the threshold is {at_least!r}, expected a number from 0 to 1")
            return probability < at_least
        return probability < self._thresholds[best] if self.thresholds else np.zeros(len(best), bool)

    def label_sets(self, probabilities: Floats, *, coverage: float) -> Bools:
        """The classes that together hold the right one in `coverage` of all texts, bool[B, classes].

        Split conformal prediction, "least ambiguous" sets (Sadinle, Lei and Wasserman 2019): a class is in when its
        probability is that of the weaker answers which validation still needed. A set may be empty. Holds on average
        over texts like those of the validation. Raises DataError for a coverage that is no whole percent, or where
        nothing was fitted.
        """
        place = next((i for i, known in enumerate(COVERAGES) if abs(coverage - known) < 1e-9), None)
        if place is None:
            raise DataError(f"the coverage is {coverage:g}, expected a whole percent: 0.01, 0.02 ... 0.99")
        if not self.least:
            raise DataError(
                "this model has no label sets: it was trained without validation data; run textcnn calibrate"
            )
        return probabilities >= np.float32(self.least[place])

    def familiarity(self, probabilities: Floats, unknown: Floats) -> Floats:
        """Share of validation texts that looked at least as strange as each of these, 0 to 1, float32[B].

        Below 0.05 a text is stranger than 95 % of them: rather not of this kind. `unknown` is the share of unknown
        tokens of each text, float32[B]. Raises DataError where nothing was fitted.
        """
        if not self.quantiles:
            raise DataError(
                "this model cannot tell how familiar a text is: it was trained without validation data; "
                "run textcnn calibrate"
            )
        places = np.searchsorted(np.array(self.quantiles), familiar_score(probabilities, unknown), side="right")
        return (places / len(self.quantiles)).astype(np.float32)


COVERAGES = tuple(percent / 100 for percent in range(1, 100))


# How much a text's share of unknown tokens weighs against the logarithm of its best probability. Chosen on CLINC150's
# out-of-scope rows, where this beats energy, the largest logit and entropy; see docs/LOG.md.
UNKNOWN_WEIGHT = 2.0


def familiar_score(probabilities: Floats, unknown: Floats) -> Exact:
    """High where a label is certain and the words are known, float64[B]; compares texts, means nothing by itself."""
    best = np.maximum(probabilities.max(axis=1, initial=0.0).astype(np.float64), 1e-12)
    score: Exact = np.log(best) - UNKNOWN_WEIGHT * unknown
    return score


def unknown_share(unknown: Bools, offsets: Offsets) -> Floats:
    """The share of unknown tokens of each ragged text, float32[B]; 1 for a text without tokens."""
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(unknown)])
    lengths = np.diff(offsets)
    counts = sums[offsets[1:]] - sums[offsets[:-1]]
    return np.where(lengths > 0, counts / np.maximum(lengths, 1), 1.0).astype(np.float32)
