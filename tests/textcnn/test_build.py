from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from textcnn.build import build_network, pick_device, resolve
from textcnn.config import RunConfig
from textcnn.errors import ConfigError


def faults_of(values: dict[str, Any], **more: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        resolve(values, **more)
    return caught.value.faults


def test_resolving_writes_out_every_option_of_every_part() -> None:
    model = resolve({}).model
    assert model.blocks == (
        {
            "type": "kim_conv", "filter_widths": [3, 4, 5], "num_filters": 100, "activation": "relu",
            "stride": 1, "dilation": 1, "padding": "same", "scale": 0.0, "groups": 1,
        },
    )  # fmt: skip
    assert model.pooling == {"type": "max_over_time"}
    assert model.head == {"type": "single_label", "dropout": 0.5, "max_norm": 3.0, "hidden_dim": 0}


def test_resolving_twice_changes_nothing() -> None:
    config = resolve({"train": {"seed": 7}})
    assert resolve(config.model_dump()) == config
    assert resolve(RunConfig.from_mapping(config.model_dump(mode="json")).model_dump()) == config


def test_overrides_win_over_values_and_those_over_the_preset() -> None:
    config = resolve(
        {"model": {"embedding": {"mode": "non-static", "vectors": "v.bin"}}, "train": {"seed": 2, "l2": 0.1}},
        preset="kim_static",
        overrides=["train.seed=3", "model.blocks.0.num_filters=7"],
    )
    assert config.model.embedding.mode == "non-static"
    assert (config.train.seed, config.train.l2) == (3, 0.1)
    assert config.model.blocks[0]["num_filters"] == 7


def test_every_fault_comes_at_once_wherever_it_is() -> None:
    faults = faults_of(
        {
            "model": {
                "blocks": [{"type": "kim_cnv"}, "x", {"type": "kim_conv", "num_filters": 0}],
                "pooling": {"type": "max_over_time", "k": 2},
                "head": {"type": "single_label", "dropout": 1.5},
            },
            "text": {"tokenizer": "wrd"},
            "train": {"device": "tpu", "patience": -1},
        },
        preset="kim_ran",
        overrides=["nonsense", "train.batch_size=0"],
    )
    text = "\n".join(faults)
    assert len(faults) == 11, text
    for part in (
        "unknown preset 'kim_ran'; did you mean 'kim_rand'?",
        "'nonsense' is not an override",
        "model.blocks.0.type: unknown block 'kim_cnv'; did you mean 'kim_conv'?",
        "model.blocks.1: should be a table",
        "model.blocks.2.num_filters: ",
        "model.pooling.k: unknown setting",
        "model.head.dropout: ",
        "text.tokenizer: unknown tokenizer 'wrd'; did you mean 'word'?",
        "train.device: 'tpu' is no device; write auto, cpu, cuda or cuda:N",
        "train.patience: ",
        "train.batch_size: ",
    ):
        assert part in text


@pytest.mark.parametrize("values", [{"model": 5}, {"model": {"blocks": 5}}, {"text": [], "train": "x"}])
def test_a_section_of_the_wrong_kind_is_a_fault_and_no_crash(values: dict[str, Any]) -> None:
    assert len(faults_of(values)) == len(values)


def test_settings_that_do_not_go_together_are_faults() -> None:
    assert "needs word vectors" in faults_of({"model": {"embedding": {"mode": "static"}}})[0]
    assert "which ignores it" in faults_of({"model": {"embedding": {"vectors": "v.bin", "mode": "rand"}}})[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_only_words_are_read_by_their_characters_too() -> None:
    values = {"text": {"tokenizer": "bpe"}, "model": {"embedding": {"characters": {"num_filters": 3}}}}
    with pytest.raises(ConfigError, match="text.tokenizer is 'bpe': set it to 'word'"):
        resolve(values)


def test_a_device_that_is_not_here_is_a_fault() -> None:
    assert faults_of({"train": {"device": "cuda"}}) == (
        "train.device: device 'cuda' is not available: none found by this build of torch; use cpu or auto",
    )
    assert "'float16', which needs a CUDA device" in faults_of({"train": {"precision": "float16"}})[0]
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "mps", "meta", ""])
def test_what_is_no_device_of_ours_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no device"):
        pick_device(name)


def test_a_network_has_the_sizes_that_its_configuration_states() -> None:
    config = resolve({"model": {"embedding": {"dim": 5}, "blocks": [{"type": "kim_conv", "num_filters": 4}]}})
    network = build_network(config, vocabulary=20, num_classes=3)
    assert network.encoder.embedding.weight.shape == (20, 5)
    assert network.encoder.out_dim == 12
    assert network.head.linear.weight.shape == (3, 12)


def test_blocks_stack() -> None:
    blocks = [{"type": "kim_conv", "num_filters": 4}, {"type": "kim_conv", "filter_widths": [2], "num_filters": 6}]
    network = build_network(resolve({"model": {"blocks": blocks}}), vocabulary=9, num_classes=2)
    assert network.encoder.out_dim == 6
    assert not network.encoder.fused


def test_given_vectors_set_the_width() -> None:
    config = resolve({"model": {"embedding": {"mode": "static", "vectors": "v.bin", "dim": 300}}})
    network = build_network(config, vocabulary=4, num_classes=2, matrix=np.ones((4, 7), np.float32))
    assert network.encoder.embedding.out_dim == 7
    assert not [name for name, _ in network.encoder.embedding.named_parameters()]


@pytest.mark.parametrize(
    ("preset", "vectors", "mode"),
    [("kim_rand", "", "rand"), ("kim_rand", "glove.txt", "static"), ("kim_multichannel", "glove.txt", "multichannel")],
)
def test_vectors_are_used_as_the_preset_says_and_else_kept_static(preset: str, vectors: str, mode: str) -> None:
    config = resolve({"model": {"embedding": {"vectors": vectors}}}, preset=preset)
    assert config.model.embedding.mode == mode


def test_parts_that_do_not_fit_are_found_before_training_with_their_sizes() -> None:
    conv = {"type": "kim_conv", "num_filters": 4}
    residual = {"type": "residual", "blocks": [{**conv, "stride": 2}]}
    (fault,) = faults_of({"model": {"blocks": [conv, residual]}})
    assert fault.startswith("model.blocks.1 (residual): the blocks inside a residual make 1 positions of 2 tokens")
    half = {"type": "local_max", "width": 2}
    pooling = {"type": "concatenate", "poolings": [{"type": "average"}, {"type": "adaptive_max", "chunks": 6}]}
    (fault,) = faults_of({"model": {"blocks": [half], "pooling": pooling}, "text": {"max_length": 10}})
    assert fault == (
        "model.pooling (concatenate) wants 6 positions, but the blocks make 5 of the longest text "
        "(10 tokens, text.max_length)"
    )


@pytest.mark.parametrize("huge", [10**9, 10**30])
def test_a_slip_of_the_hand_is_refused_before_anything_is_computed_with_it(huge: int) -> None:
    for block in (
        {"type": "kim_conv", "num_filters": huge},
        {"type": "kim_conv", "num_filters": [huge, 1, 1]},
        {"type": "kim_conv", "dilation": huge},
        {"type": "kim_conv", "stride": huge},
        {"type": "pointwise_conv", "num_filters": huge},
        {"type": "inception", "num_filters": huge},
        {"type": "inception", "reduction": huge},
        {"type": "local_max", "width": huge},
        {"type": "qrnn", "hidden_dim": huge},
        {"type": "qrnn", "num_layers": huge},
    ):
        (fault,) = faults_of({"model": {"blocks": [block]}})
        assert "less than or equal to" in fault and str(huge) in fault
    for model in (
        {"embedding": {"dim": huge}},
        {"embedding": {"characters": {"num_filters": huge}}},
        {"head": {"type": "single_label", "hidden_dim": huge}},
        {"pooling": {"type": "attention", "hidden_dim": huge}},
    ):
        (fault,) = faults_of({"model": model})
        assert "less than or equal to" in fault and str(huge) in fault


def test_options_inside_nested_parts_are_written_out() -> None:
    block = {"type": "residual", "blocks": [{"type": "kim_conv", "num_filters": 4}]}
    config = resolve({"model": {"blocks": [block]}})
    assert config.model.blocks[0]["blocks"][0]["filter_widths"] == [3, 4, 5]
    assert resolve(RunConfig.from_mapping(config.model_dump(mode="json")).model_dump()) == config


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"type": "hing"}, "train.loss.type: unknown loss 'hing'; did you mean 'hinge'?"),
        ({"gamma": 1}, "train.loss: no type; give one of binary_cross_entropy, "),
        ({"type": "focal", "gama": 1}, "train.loss.gama: unknown setting; did you mean 'gamma'?"),
    ],
)
def test_a_loss_is_checked_like_any_part(loss: dict[str, Any], message: str) -> None:
    (fault,) = faults_of({"train": {"loss": loss}})
    assert fault.startswith(message)


def test_options_of_a_loss_are_written_out() -> None:
    assert resolve({}).train.loss == {}
    assert resolve({"train": {"loss": {"type": "focal"}}}).train.loss == {"type": "focal", "gamma": 2.0}
