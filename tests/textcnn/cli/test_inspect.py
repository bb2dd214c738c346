from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier

from ...conftest import TINY, tiny_corpus
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
    wide = TextClassifier.load(model_folder).artifact_.wide
    assert wide is not None
    assert wide.characters is not None
    linear = wide.weight.size + wide.characters.weight.size + 3
    assert rows[7] == ["wide", "NgramLinear", "3", f"{linear:,}", "90"]
    assert rows[8] == ["total", f"{words * 16 + 656 + 51 + linear:,}", "6,538"]
    assert "labels: billing, delivery, repair" in ran.out
    assert "validation: accuracy 100.00% on 9 texts" in ran.out


def test_json_is_one_object_with_everything(run: Run, model_folder: Path) -> None:
    report = json.loads(run("inspect", model_folder, "--json").out)
    model = TextClassifier.load(model_folder)
    assert (report["model"], report["version"], report["tokens"]) == ("tiny", "1", 32)
    assert report["labels"] == list(model.labels)
    assert report["vocabulary"] == len(model.artifact_.tokenizer)
    assert [layer["name"] for layer in report["layers"]] == ["embedding", "blocks.0", "pooling", "head", "wide"]
    wide = model.artifact_.wide
    assert wide is not None
    assert wide.characters is not None
    network = sum(weights.size for weights in model.artifact_.weights.values())
    linear = wide.weight.size + wide.characters.weight.size + wide.bias.size
    assert sum(layer["parameters"] for layer in report["layers"]) == network + linear
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


def test_filters_are_listed_with_what_excites_them(run: Run, model_folder: Path, here: Path) -> None:
    ran = run("inspect", model_folder, "--filters")
    assert "tiny/1: 16 filters, " in ran.out
    assert "ideal n-gram" in ran.out
    ran = run("inspect", model_folder, "--filters", "--corpus", "train.csv", "--html", "filters.html")
    assert "excited most by" in ran.out
    assert len(ran.out.splitlines()) == 16 + 3
    assert "saved filters.html" in ran.err
    assert (here / "filters.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_leaves_the_old_one_whole(
    run: Run, model_folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("filters.html").write_text("mine")
    monkeypatch.setattr("os.replace", full)
    ran = run("inspect", model_folder, "--filters", "--html", "filters.html", "--overwrite")
    assert (ran.code, ran.err) == (2, "textcnn: cannot write filters.html: No space left on device\n")
    assert Path("filters.html").read_text() == "mine"
    assert not list(here.glob(".*.part"))


def test_filters_as_json(run: Run, model_folder: Path, here: Path) -> None:
    report = json.loads(run("inspect", model_folder, "--filters", "--corpus", "train.csv", "--json", "--top-n", 2).out)
    assert (report["model"], report["texts"], len(report["filters"])) == ("tiny", 90, 16)
    assert max(len(one["examples"]) for one in report["filters"]) == 2
    assert {one["label"] for one in report["filters"]} <= set(report["labels"])


def test_filters_of_what_is_no_single_convolution_are_refused(mistake: Any, here: Path) -> None:
    config = {**TINY, "model": {**TINY["model"], "blocks": [{"type": "qrnn", "hidden_dim": 8}]}}
    TextClassifier(config).fit(*tiny_corpus(30)).save("models/qrnn/1")
    told = mistake("inspect", "models/qrnn", "--filters")
    assert "filters are shown for one convolution only: it needs exactly one kim_conv block, the model has qrnn" in told


def test_n_grams_are_listed_by_label(run: Run, mistake: Any, model_folder: Path) -> None:
    ran = run("inspect", model_folder, "--ngrams", "--top-n", "3")
    lines = ran.out.splitlines()
    assert (ran.code, lines[::3]) == (0, ["billing", "delivery", "repair"])
    assert lines[1].startswith("  for      ") and lines[2].startswith("  against  ")
    assert lines[1].count(" | ") == 2 and " +" in lines[1] and " -" in lines[2]
    report = json.loads(run("inspect", model_folder, "--ngrams", "--json").out)
    assert [one["label"] for one in report["ngrams"]] == report["labels"]
    assert len(report["ngrams"][0]["speak_for"]) == 10
    assert "ask for one" in mistake("inspect", model_folder, "--ngrams", "--filters")


def test_flags_that_belong_together_are_asked_for(mistake: Any, model_folder: Path, here: Path) -> None:
    assert "--html is about the filters; add --filters" in mistake("inspect", model_folder, "--html", "a.html")
    assert "--delimiter is about a table" in mistake("inspect", model_folder, "--filters", "--delimiter", ";")
    assert "no/a.html: there is no folder no" in mistake("inspect", model_folder, "--filters", "--html", "no/a.html")


def test_a_page_is_written_over_only_when_asked_and_the_corpus_never(
    mistake: Any, run: Run, model_folder: Path, here: Path
) -> None:
    Path("filters.html").write_text("mine")
    command = ["inspect", model_folder, "--filters", "--corpus", "train.csv", "--html"]
    assert "filters.html exists already" in mistake(*command, "filters.html")
    assert Path("filters.html").read_text() == "mine"
    assert run(*command, "filters.html", "--overwrite").code == 0
    assert Path("filters.html").read_text() != "mine"
    before = Path("train.csv").read_bytes()
    assert "train.csv is read, so it is not written" in mistake(*command, "train.csv", "--overwrite")
    assert Path("train.csv").read_bytes() == before
