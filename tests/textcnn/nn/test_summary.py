from __future__ import annotations

from typing import Any

import pytest

from textcnn.build import build_network, resolve
from textcnn.nn.summary import LayerSummary, summarize


def summary(tokens: int = 32, **model: Any) -> list[LayerSummary]:
    network = build_network(resolve({"model": model}), vocabulary=100, num_classes=6, alphabet=30)
    return summarize(network, tokens=tokens)


def test_the_default_network_is_summed_up_by_hand() -> None:
    assert summary() == [
        LayerSummary("embedding", "Embedding", (32, 300), 100 * 300, 0),
        # (3 + 4 + 5) x 100 filters of 300 numbers at 32 places
        LayerSummary("blocks.0", "KimConv", (32, 300), 1200 * 300 + 300, 32 * 1200 * 300),
        LayerSummary("pooling", "MaxOverTime", (300,), 0, 0),
        LayerSummary("head", "SingleLabel", (6,), 300 * 6 + 6, 300 * 6),
    ]


def test_characters_have_a_line_and_make_the_convolution_wider() -> None:
    written = {"num_filters": 25, "filter_widths": [2, 3], "dim": 10}
    layers = summary(embedding={"characters": written})
    assert [layer.name for layer in layers] == ["embedding", "characters", "blocks.0", "pooling", "head"]
    # 7 characters a word, as many windows
    assert layers[1] == LayerSummary("characters", "Encoder", (50,), 300 + 5 * 250 + 50, 32 * 7 * 5 * 250)
    assert layers[2].multiply_adds == 32 * 1200 * 350


@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_the_convolution_of_a_qrnn_is_counted(window: int) -> None:
    layers = summary(blocks=[{"type": "qrnn", "hidden_dim": 8, "window": window, "bidirectional": True}])
    # z, f and o in two directions
    assert layers[1].multiply_adds == 32 * window * 300 * 3 * 8 * 2


@pytest.mark.parametrize("tokens", [1, 2, 1000])
def test_costs_grow_with_the_text(tokens: int) -> None:
    assert summary(tokens)[1].multiply_adds == tokens * 1200 * 300


def test_every_block_has_a_line() -> None:
    blocks = [{"type": "kim_conv", "num_filters": 4}, {"type": "kim_conv", "filter_widths": [2], "num_filters": 5}]
    layers = summary(blocks=blocks)
    assert [layer.name for layer in layers] == ["embedding", "blocks.0", "blocks.1", "pooling", "head"]
    assert (layers[2].output, layers[2].multiply_adds) == ((32, 5), 32 * 2 * 5 * 12)
    assert [layer.name for layer in summary(blocks=[])] == ["embedding", "pooling", "head"]
