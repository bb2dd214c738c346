"""Texts encoded segment by segment: where segments lie, and every way to join their vectors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from textcnn.nn import segments as module
from textcnn.nn.embedding import Embedding
from textcnn.nn.encoder import Encoder
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct, RaggedIds
from textcnn.nn.segments import encode_segments
from textcnn.registry import BLOCKS, HEADS, JOINS, POOLINGS
from textcnn.types import BREAK_ID, TokenBatch

VOCABULARY, DIM, IN_DIM = 30, 6, 8
CONV = {"type": "kim_conv", "filter_widths": [1, 3], "num_filters": 4}
QRNN = {"type": "qrnn", "hidden_dim": 5, "bidirectional": True}
JOIN_CASES: list[dict[str, Any]] = [
    {"type": "compare"},
    {"type": "compare", "texts": 3},
    {"type": "document"},
    {"type": "document", "blocks": [], "pooling": {"type": "attention", "hidden_dim": 4}},
    {"type": "document", "blocks": [QRNN, CONV], "pooling": {"type": "k_max", "k": 2}},
]
ENCODERS = [([CONV], {"type": "max_over_time"}), ([QRNN], {"type": "average"}), ([], {"type": "max_over_time"})]


def case_id(case: dict[str, Any]) -> str:
    return "-".join(str(value) for value in case.values())


def texts_for(case: dict[str, Any], count: int = 7) -> list[list[int]]:
    """As many segments as the case wants; some of them, and some documents, empty."""
    random = np.random.default_rng(3)
    texts: list[list[int]] = []
    for row in range(count):
        segments = case.get("texts") or (2 if case["type"] == "compare" else row % 5)
        lengths = random.integers(0, 6, segments)
        parts = [random.integers(1, VOCABULARY, length).tolist() for length in lengths]
        texts.append([token for at, part in enumerate(parts) for token in ([BREAK_ID] * (at > 0) + part)])
    return texts


def ragged(texts: list[list[int]]) -> RaggedIds:
    return Distinct(VOCABULARY)(TokenBatch.from_lists(texts))


def network(case: dict[str, Any], encoder: tuple[Any, Any] = ENCODERS[0]) -> Network:
    torch.manual_seed(0)
    blocks, dim = [], DIM
    for spec in encoder[0]:
        blocks.append(BLOCKS.build(spec, in_dim=dim))
        dim = blocks[-1].out_dim
    body = Encoder(Embedding(VOCABULARY, dim=DIM), blocks, POOLINGS.build(encoder[1], in_dim=dim))
    join = JOINS.build(case, in_dim=body.out_dim)
    head = HEADS.build({"type": "single_label"}, in_dim=join.out_dim, num_classes=3)
    made = Network(body, head, join=join)
    for name, param in made.named_parameters():  # a part that starts at zero would hide mistakes
        if not name.startswith("encoder.embedding"):
            torch.nn.init.normal_(param, std=0.5)
    return made.eval()


def split(text: list[int]) -> list[list[int]]:
    """The plain way."""
    parts: list[list[int]] = [[]]
    for token in text:
        if token == BREAK_ID:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def test_every_join_has_a_row() -> None:
    assert {case["type"] for case in JOIN_CASES} == set(JOINS.names())


@pytest.mark.parametrize("seed", range(20))
def test_segments_are_what_lies_between_breaks(seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = [random.integers(0, 4, random.integers(0, 7)).tolist() for _ in range(random.integers(0, 6))]
    found, bounds = ragged(texts).segments()
    expected = [split(text) for text in texts]
    assert bounds.tolist() == [0, *np.cumsum([len(parts) for parts in expected]).tolist()]
    ends = found.offsets.tolist()
    parts = [found.values[a:b].tolist() for a, b in zip(ends, ends[1:], strict=False)]
    assert parts == [part for several in expected for part in several]
    assert torch.equal(found.unique[found.local.long()], found.values.long())
    order = torch.from_numpy(random.permutation(len(parts)))
    taken = found.take(order)
    ends = taken.offsets.tolist()
    assert [taken.values[a:b].tolist() for a, b in zip(ends, ends[1:], strict=False)] == [parts[i] for i in order]


@pytest.mark.parametrize("encoder", ENCODERS, ids=["fused", "padded", "no blocks"])
@pytest.mark.parametrize("keep_empty", [True, False])
def test_each_segment_is_encoded_as_a_text_of_its_own(encoder: Any, keep_empty: bool) -> None:
    body = network({"type": "compare"}, encoder).encoder
    texts = [[2, 3, BREAK_ID, 4, 5, 6, 7], [], [BREAK_ID, BREAK_ID, 9], [8]]
    x, mask = encode_segments(body, ragged(texts), keep_empty=keep_empty)
    parts = [[part for part in split(text) if part or keep_empty] for text in texts]
    assert mask.sum(1).tolist() == [len(several) for several in parts]
    for row, several in enumerate(parts):
        for at, part in enumerate(several):
            torch.testing.assert_close(x[row, at], body(ragged([part]))[0])


def test_one_long_sentence_does_not_make_the_others_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    body = network({"type": "compare"}, ENCODERS[1]).encoder
    texts = [[*[3] * 40, *([BREAK_ID, 4, 5] * 30)], [6, BREAK_ID, 7]]
    whole, _ = encode_segments(body, ragged(texts), keep_empty=False)
    shapes: list[int] = []
    real = body.forward_padded

    def noted(ids: RaggedIds) -> torch.Tensor:
        shapes.append(ids.padded()[0].numel())
        return real(ids)

    monkeypatch.setattr(body, "forward_padded", noted)
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 32)
    parts, _ = encode_segments(body, ragged(texts), keep_empty=False)
    assert max(shapes) == 40 and len(shapes) > 2
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("case", JOIN_CASES, ids=case_id)
class TestJoin:
    def test_puts_out_what_it_says_whatever_the_padding(self, case: dict[str, Any]) -> None:
        torch.manual_seed(0)
        join = JOINS.build(case, in_dim=IN_DIM).eval()
        count = case.get("texts", 2)
        x = torch.randn(4, count, IN_DIM)
        mask = torch.ones(4, count, dtype=torch.bool)
        y = join(x, mask)
        assert y.shape == (4, join.out_dim) and torch.isfinite(y).all()
        if not join.keep_empty:
            padded = torch.cat([x, torch.randn(4, 3, IN_DIM)], 1)
            torch.testing.assert_close(join(padded, torch.cat([mask, torch.zeros(4, 3, dtype=torch.bool)], 1)), y)

    @pytest.mark.parametrize("encoder", ENCODERS, ids=["fused", "padded", "no blocks"])
    def test_a_text_gets_the_same_alone_as_in_a_batch_and_twice(self, case: dict[str, Any], encoder: Any) -> None:
        made, texts = network(case, encoder), texts_for(case)
        together = made(ragged(texts))
        assert together.shape == (7, 3) and torch.isfinite(together).all()
        torch.testing.assert_close(made(ragged(texts)), together, rtol=0, atol=0)
        for row, text in enumerate(texts):
            torch.testing.assert_close(made(ragged([text]))[0], together[row])

    @pytest.mark.parametrize("encoder", ENCODERS, ids=["fused", "padded", "no blocks"])
    def test_lets_the_gradient_through_to_every_weight_and_word(self, case: dict[str, Any], encoder: Any) -> None:
        made, texts = network(case, encoder), texts_for(case)
        made(ragged(texts)).square().sum().backward()
        for name, param in made.named_parameters():
            assert param.grad is not None, name
        gradient = made.encoder.embedding.weight.grad.to_dense()
        assert not gradient[BREAK_ID].any()
        # not each word wins a filter, but many do
        assert gradient.abs().sum(1).count_nonzero() > 5

    def test_is_rebuilt_from_its_json(self, case: dict[str, Any]) -> None:
        resolved = JOINS.resolve(case)
        assert JOINS.resolve(json.loads(json.dumps(resolved))) == resolved
        twin = network(resolved)
        twin.load_state_dict(network(case).state_dict())
        ids = ragged(texts_for(case))
        torch.testing.assert_close(twin(ids), network(case)(ids), rtol=0, atol=0)


def test_two_texts_are_compared_by_difference_and_product() -> None:
    u, v = torch.randn(2, 3, IN_DIM)
    y = JOINS.build({"type": "compare"}, in_dim=IN_DIM)(torch.stack([u, v], 1), torch.ones(3, 2, dtype=torch.bool))
    torch.testing.assert_close(y, torch.cat([u, v, (u - v).abs(), u * v], 1))


def test_breaks_without_a_sentence_between_them_mean_nothing() -> None:
    made = network({"type": "document"})
    plain = [[2, 3, BREAK_ID, 4], [5], []]
    with_more = [[BREAK_ID, 2, 3, BREAK_ID, BREAK_ID, 4, BREAK_ID], [5, BREAK_ID], [BREAK_ID, BREAK_ID]]
    torch.testing.assert_close(made(ragged(with_more)), made(ragged(plain)), rtol=0, atol=0)


def test_the_order_of_sentences_counts_and_so_does_that_of_columns() -> None:
    for case in ({"type": "document"}, {"type": "compare"}):
        made = network(case)
        assert not torch.allclose(made(ragged([[2, 3, BREAK_ID, 4]])), made(ragged([[4, BREAK_ID, 2, 3]])))
