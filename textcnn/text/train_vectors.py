"""Word vectors from a user's own texts, by gensim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textcnn.choices import VectorsKind
from textcnn.config import TextConfig
from textcnn.errors import DataError, VectorsError, needs_extra
from textcnn.files import replacing
from textcnn.text.tokenizers import Tokenizer
from textcnn.types import UNKNOWN_ID

TELL_EVERY = 1000


def train_vectors(
    texts: Sequence[str], output: Path, *, kind: VectorsKind = "word2vec", dim: int = 300, window: int = 5,
    min_count: int = 5, epochs: int = 5, skip_gram: bool = True, threads: int = 1, seed: int = 1,
    tell: Callable[[float], None] = lambda share: None,
) -> int:  # fmt: skip
    """Write vectors of the words that stand at least `min_count` times in the texts; returns how many.

    word2vec (Mikolov et al. 2013) as its binary format; fasttext (Bojanowski et al. 2017), which makes vectors for
    unseen words of their parts, as fastText's .bin. Words are those of textcnn's word tokenizer. With one thread the
    same seed gives the same vectors. `tell` gets the share that is read, 0 to 1. Raises DataError where no word is
    frequent enough, VectorsError where `output` cannot be written, MissingExtraError.
    """
    with needs_extra("training word vectors", "train"):
        from gensim import models
        from gensim.models import fasttext
    # gensim reads the texts once more than it trains on them, for the vocabulary
    corpus = _Corpus(texts, min_count, lambda read: tell(read / (len(texts) * (epochs + 1))))
    if not corpus.words:
        raise DataError(f"no word stands {min_count} times in the {len(texts):,} texts; lower --min-count")
    options: dict[str, Any] = {
        "sentences": corpus, "vector_size": dim, "window": window, "min_count": min_count, "epochs": epochs,
        "sg": int(skip_gram), "workers": threads, "seed": seed,
    }  # fmt: skip
    try:
        with replacing(output) as file:
            if kind == "fasttext":
                model = models.FastText(**options)
                fasttext.save_facebook_model(model, str(file))
            else:
                model = models.Word2Vec(**options)
                model.wv.save_word2vec_format(str(file), binary=True)
    except OSError as error:
        raise VectorsError(f"cannot write {output}: {error.strerror or error}") from None
    return len(model.wv)


class _Corpus:
    """The texts as lists of words, as often as gensim wants to read them, without the rare words."""

    def __init__(self, texts: Sequence[str], min_count: int, tell: Callable[[int], None]) -> None:
        tokenizer = Tokenizer.learn(texts, TextConfig(min_count=min_count, max_vocabulary=10_000_000, max_length=10**9))
        self.words = len(tokenizer) - 2
        self._names = np.array(tokenizer.tokens, object)
        self._batch = tokenizer.encode(texts)
        self._tell, self._read = tell, 0

    def __iter__(self) -> Iterator[list[str]]:
        for ids in self._batch:
            self._read += 1
            if self._read % TELL_EVERY == 0:
                self._tell(self._read)
            yield self._names[ids[ids != UNKNOWN_ID]].tolist()
