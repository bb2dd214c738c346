from __future__ import annotations

import math

import pytest
import torch

from textcnn.nn.autoencoder import BagAutoencoder
from textcnn.nn.blocks.kim_conv import KimConv
from textcnn.nn.embedding import Embedding
from textcnn.nn.encoder import Encoder
from textcnn.nn.pooling.max_over_time import MaxOverTime
from textcnn.nn.ragged import Distinct
from textcnn.types import TokenBatch


def autoencoder() -> BagAutoencoder:
    torch.manual_seed(0)
    block = KimConv(6, filter_widths=(2,), num_filters=5)
    return BagAutoencoder(Encoder(Embedding(9, dim=6), [block], MaxOverTime(5)))


def test_the_loss_of_a_bag_is_that_of_a_loop_over_its_words() -> None:
    model = autoencoder()
    ids = Distinct(9)(TokenBatch.from_lists([[2, 3, 4], [5, 2]]))
    candidates = Distinct(9)(TokenBatch.from_lists([[2, 3, 4, 5, 7]]))
    wanted = torch.tensor([[1.0, 0.5, 0.5, 0, 0], [1.0, 0, 0, 0.25, 0]])
    loss, found = model.loss(ids, candidates, wanted)
    codes = model.decoder(model.encoder(ids)).detach()
    words = model.encoder.embedding(candidates.unique).detach()
    total = right = 0.0
    for code, weights in zip(codes, wanted, strict=True):
        scores = [float(code @ word) for word in words]
        normal = math.log(sum(math.exp(score) for score in scores))
        total += sum(float(weight) * (normal - score) for weight, score in zip(weights, scores, strict=True))
        mine = {place for place, weight in enumerate(weights) if weight}
        best = sorted(range(5), key=lambda place: -scores[place])[: len(mine)]
        right += len(mine & set(best)) / len(mine) / 2
    assert float(loss.detach()) == pytest.approx(total / float(wanted.sum()), rel=1e-5)
    assert found == pytest.approx(right)


def test_what_a_bag_teaches_reaches_filters_and_words() -> None:
    model = autoencoder()
    ids = Distinct(9)(TokenBatch.from_lists([[2, 3, 4]]))
    loss, _ = model.loss(ids, Distinct(9)(TokenBatch.from_lists([[2, 3, 8]])), torch.tensor([[1.0, 1.0, 0.0]]))
    loss.backward()
    for name, value in model.named_parameters():
        assert value.grad is not None and bool(value.grad.to_dense().abs().sum() > 0), name
