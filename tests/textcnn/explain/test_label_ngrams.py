from __future__ import annotations

import numpy as np
import pytest

from textcnn import TextClassifier
from textcnn.errors import EngineError
from textcnn.explain.label_ngrams import label_ngrams
from textcnn.kernels.ngram_linear import ID_BITS, NgramLinear

from ...conftest import TINY

TOKENS = ("<pad>", "<unk>", "good", "not", "film")


def test_the_strongest_n_grams_of_each_label_come_with_their_weight_without_the_scale() -> None:
    keys = np.array([2, 3, 4, 3 | 2 << ID_BITS, 3 | 2 << ID_BITS | 4 << 2 * ID_BITS], np.int64)
    scale = np.array([2, 1, 1, 4, 2], np.float32)
    weight = np.array([[4, -1], [-3, 3], [0, 0], [-8, 8], [-1, 1]], np.float32)
    bad, good = label_ngrams(
        NgramLinear(keys, scale, weight[:, ::-1].copy(), np.zeros(2, np.float32)), TOKENS, ["bad", "good"], top_n=2
    )
    assert (bad.label, good.label) == ("bad", "good")
    assert [(one.tokens, one.weight) for one in bad.speak_for] == [(("not",), 3.0), (("not", "good"), 2.0)]
    assert [(one.tokens, one.weight) for one in bad.against] == [(("good",), -0.5)]
    assert [(one.tokens, one.weight) for one in good.against] == [(("not",), -3.0), (("not", "good"), -2.0)]
    everything = label_ngrams(NgramLinear(keys, scale, weight, np.zeros(2, np.float32)), TOKENS, ["a", "b"], top_n=99)
    assert everything[1].speak_for[-1].tokens == ("not", "good", "film")
    assert everything[0].to_dict()["speak_for"][0] == {"tokens": ("good",), "weight": 2.0}


def test_a_classifier_tells_them(classifier: TextClassifier) -> None:
    (delivery,) = (one for one in classifier.ngrams(top_n=4) if one.label == "delivery")
    words = {word for ngram in delivery.speak_for for word in ngram.tokens}
    assert words & {"parcel", "courier", "delivered", "tracking", "rain"}
    assert not words & {"refund", "invoice", "broken"}


def test_a_network_by_itself_has_none(corpus: tuple[list[str], list[str]]) -> None:
    model = TextClassifier({**TINY, "train": {**TINY["train"], "max_epochs": 1}}, preset="kim_rand").fit(*corpus)
    with pytest.raises(EngineError, match=r"trained with model\.wide\.ngrams=0"):
        model.ngrams()
