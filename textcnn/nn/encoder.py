"""Embedding, blocks and pooling: a text becomes one vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from textcnn.nn.blocks.kim_conv import KimConv
from textcnn.nn.embedding import Embedding
from textcnn.nn.parts import Block, Blocks, Pooling
from textcnn.nn.pooling.max_over_time import MaxOverTime
from textcnn.nn.ragged import RaggedIds
from textcnn.types import UNKNOWN_ID

Tensor = torch.Tensor


class Encoder(nn.Module):
    """Ragged ids -> float[B, out_dim].

    A word is its own vector and, with `characters`, an encoder of characters, what that makes of how the word is
    written: a second channel, side by side (dos Santos and Zadrozny 2014; Kim et al. 2016). It is a function of the
    word alone, so it is computed once for each distinct word. In training a share `hidden_words` of them loses its own
    vector for that of the unknown word, so that characters learn to do alone (Lample et al. 2016, section 4.3).

    A convolution -> max over time is fused: no rectangle is made, and winning windows alone have a gradient.
    Where it is the only block, the distinct tokens are projected once. Blocks before it, and any other stack, are run
    one by one on a rectangle. Both ways give the same numbers.
    """

    def __init__(
        self, embedding: Embedding, blocks: Sequence[Block], pooling: Pooling,
        *, characters: Encoder | None = None, hidden_words: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = embedding
        self.characters = characters
        self.hidden_words = hidden_words
        self.blocks = Blocks(blocks)
        self.pooling = pooling
        self.out_dim = pooling.out_dim

    @property
    def fused(self) -> bool:
        """Whether nothing is padded at all."""
        return len(self.blocks) == 1 and self.ends_fused

    @property
    def ends_fused(self) -> bool:
        last = self.blocks[-1] if len(self.blocks) else None
        return isinstance(last, KimConv) and last.fusable and isinstance(self.pooling, MaxOverTime)

    @property
    def word_dim(self) -> int:
        """Numbers that the first block sees of each word."""
        return self.embedding.out_dim + (self.characters.out_dim if self.characters else 0)

    def vectors(self, ids: RaggedIds) -> Tensor:
        """Each distinct word: float[U, word_dim]."""
        if self.characters is None:
            vectors: Tensor = self.embedding(ids.unique)
            return vectors
        assert ids.spelled is not None, "the tokenizer of this network spells words"
        words = ids.unique
        if self.training and self.hidden_words:
            hidden = torch.rand(words.shape, device=words.device) < self.hidden_words
            words = torch.where(hidden, UNKNOWN_ID, words)
        return torch.cat([self.embedding(words), self.characters(ids.spelled)], 1)

    def forward(self, ids: RaggedIds) -> Tensor:
        on_cpu = ids.values.device.type == "cpu"
        # on a CPU the fused way is compiled for float32, which autocast is not; elsewhere what was padded stays so
        fused = self.fused if not on_cpu else self.ends_fused and not torch.is_autocast_enabled("cpu")
        return self.forward_fused(ids) if fused else self.forward_padded(ids)

    def forward_fused(self, ids: RaggedIds) -> Tensor:
        *before, conv = self.blocks
        assert isinstance(conv, KimConv)
        if not before:
            vectors, local, offsets = self.vectors(ids), ids.local, ids.offsets
        else:
            x, mask = self.through(*self.embedded(ids), before)[-1]
            # each position is one of a kind; x[mask] looks for them twice
            vectors = x.flatten(0, 1)[mask.flatten().nonzero()[:, 0]]
            local = torch.arange(len(vectors), dtype=torch.int32)
            offsets = F.pad(mask.sum(1).cumsum(0), (1, 0))
        best, _ = conv.largest(vectors, local, offsets)
        not_empty = (offsets.diff() > 0)[:, None]
        return torch.where(not_empty, conv.activate(torch.where(not_empty, best, 0.0)), 0.0)

    def forward_padded(self, ids: RaggedIds) -> Tensor:
        return self.forward_between(ids)[0]

    def forward_between(self, ids: RaggedIds) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The pooled vector, and what each block put out with its mask."""
        found = self.through(*self.embedded(ids), self.blocks)
        return self.pooling(*found[-1]), found[1:]

    def embedded(self, ids: RaggedIds) -> tuple[Tensor, Tensor]:
        """The words float[B, T, word_dim], zero behind the end of each text, and the mask bool[B, T]."""
        places, mask = ids.padded()
        return F.embedding(places, F.pad(self.vectors(ids), (0, 0, 0, 1))), mask

    def through(self, x: Tensor, mask: Tensor, blocks: Iterable[Block]) -> list[tuple[Tensor, Tensor]]:
        """The words, and what each of the blocks made of them, with the masks."""
        found = [(x, mask)]
        for block in blocks:
            x, mask = block(x, mask)
            found.append((x, mask))
        return found
