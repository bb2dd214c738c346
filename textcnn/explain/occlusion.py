"""What changes when words are left out: works for every network, is exact for none, and says how far to trust it.

Zeiler and Fergus (2014) grey out parts of an image; Li et al. (2016) leave out words. Texts are ragged here, so a word
is taken away instead of being replaced by one that the network might read as something else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from textcnn.explain.faithfulness import Attribution, Logits, Probabilities, faithfulness, variants
from textcnn.types import BREAK_ID, Ids, TokenBatch

MOST_UNITS = 256  # a longer text is occluded by runs of tokens


def occlude(logits: Logits, text: TokenBatch, probabilities: Probabilities, target: int | None = None) -> Attribution:
    """Leave out each token of a batch of one text in turn. Without `target`, the most probable label.

    What stands between segments stays, and no run goes across it. `bias` is the target's logit of the empty text.
    """
    starts, ends = _runs(text.values)
    unit_of = np.full(len(text.values), -1)
    for unit, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        unit_of[start:end] = unit
    without = unit_of[None] != np.arange(len(starts))[:, None]
    whole, none = np.ones((1, len(unit_of)), bool), (unit_of < 0)[None]
    scores = logits(variants(text, np.concatenate([whole, none, without])))
    target = int(probabilities(scores[:1])[0].argmax()) if target is None else target
    contributions = scores[0, target].astype(np.float64) - scores[2:, target]
    trust = faithfulness(logits, text, unit_of, contributions, probabilities, target)
    return Attribution(target, starts, ends, contributions, scores[0], float(scores[1, target]), trust)


def _runs(ids: Ids) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First token and end of each run: single tokens, or MOST_UNITS runs of neighbours (rounded up in each segment)."""
    breaks = np.flatnonzero(ids == BREAK_ID)
    first, last = np.append(-1, breaks) + 1, np.append(breaks, len(ids))
    tokens = len(ids) - len(breaks)
    share = min(1.0, MOST_UNITS / max(tokens, 1))
    units = np.ceil((last - first) * share).astype(np.int64).tolist()
    bounds = [np.linspace(a, b, count + 1).astype(np.int64) for a, b, count in zip(first, last, units, strict=True)]
    return np.concatenate([b[:-1] for b in bounds]), np.concatenate([b[1:] for b in bounds])
