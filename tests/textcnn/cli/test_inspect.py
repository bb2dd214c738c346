from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier

from .conftest import Run


def test_layers_are_shown_with_sizes_weights_and_costs(run: Run, model_folder: Path) -> None:
    ran = run("inspect", model_folder, "--tokens", "10")
    words = len(TextClassifier.load(model_folder).artifact_.tokenizer)
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert f"tiny/1: 3 labels, {words} tokens in the vocabulary" in ran.out
    assert rows[3] == ["embedding", "Embedding", "10", "x", "16", f"{words * 16:,}", "0"]
    # (2 + 3) x 8 filters of 16 numbers at 10 places
    assert rows[4] == ["blocks.0", "KimConv", "10", "x", "16", "656", "6,400"]
    assert rows[5] == ["pooling", "MaxOverTime", "16", "0", "0"]
    assert rows[6] == ["head", "SingleLabel", "3", "51", "48"]
    assert rows[7] == ["total", f"{words * 16 + 656 + 51:,}", "6,448"]
    assert "labels: billing, delivery, repair" in ran.out
    assert "validation: accuracy 100.00% on 9 texts" in ran.out


def test_json_is_one_object_with_everything(run: Run, model_folder: Path) -> None:
    report = json.loads(run("inspect", model_folder, "--json").out)
    model = TextClassifier.load(model_folder)
    assert (report["model"], report["version"], report["tokens"]) == ("tiny", "1", 32)
    assert report["labels"] == list(model.classes_)
    assert report["vocabulary"] == len(model.artifact_.tokenizer)
    assert [layer["name"] for layer in report["layers"]] == ["embedding", "blocks.0", "pooling", "head"]
    assert sum(layer["parameters"] for layer in report["layers"]) == sum(
        weights.size for weights in model.artifact_.weights.values()
    )
    assert report["metrics"] == model.metrics_
    assert report["config"] == model.artifact_.config.model_dump(mode="json")


@pytest.mark.parametrize("tokens", ["0", "100001", "many"])
def test_a_length_out_of_range_is_told(mistake: Any, model_folder: Path, tokens: str) -> None:
    assert "--tokens" in mistake("inspect", model_folder, "--tokens", tokens)


def test_a_damaged_model_is_told_with_its_file(mistake: Any, model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny" / "1"
    shutil.copytree(model_folder, copy)
    (copy / "model.safetensors").write_bytes(b"x")
    assert "model.safetensors has 1 bytes, the manifest says" in mistake("inspect", copy)
