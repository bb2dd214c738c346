"""PROVISIONAL: replaced by the text room's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers as hf
from tokenizers import models, normalizers, pre_tokenizers, trainers

from textcnn.config import TextConfig
from textcnn.registry import TOKENIZERS
from textcnn.types import TokenBatch

PATTERN = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}_]+(?:['’][\p{L}\p{M}\p{N}_]+)*|'(?:s|t|re|ve|d|ll|m)\b|[^\s]"


@TOKENIZERS.register("word")
def word(config: TextConfig) -> None:
    """provisional"""


class Tokenizer:
    def __init__(self, inner: hf.Tokenizer, config: TextConfig) -> None:
        self._inner, self._max = inner, config.max_length
        self.tokens = [t for t, _ in sorted(inner.get_vocab().items(), key=lambda x: x[1])]

    @classmethod
    def learn(cls, texts: Sequence[str], config: TextConfig, *, extra_words: Sequence[str] = ()) -> Tokenizer:
        inner = hf.Tokenizer(models.WordLevel(unk_token="<unk>"))
        inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        inner.pre_tokenizer = pre_tokenizers.Split(hf.Regex(PATTERN), "removed", invert=True)
        inner.train_from_iterator(
            texts,
            trainers.WordLevelTrainer(
                vocab_size=config.max_vocabulary,
                min_frequency=config.min_count,
                special_tokens=["<pad>", "<unk>"],
                show_progress=False,
            ),
        )
        return cls(inner, config)

    def encode(self, texts: Sequence[str]) -> TokenBatch:
        return TokenBatch.from_lists([e.ids[: self._max] for e in self._inner.encode_batch_fast(list(texts))])

    def __len__(self) -> int:
        return len(self.tokens)

    def save(self, path: Path) -> None:
        Path(path).write_text(self._inner.to_str())

    @classmethod
    def from_json(cls, text: str, config: TextConfig) -> Tokenizer:
        return cls(hf.Tokenizer.from_str(text), config)


assert np
