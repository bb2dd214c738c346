from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from service.settings import Settings, default_models_folder, describe_faults


def test_a_flag_overrides_the_environment_which_overrides_the_default(monkeypatch):
    monkeypatch.setenv("TEXTCNN_PORT", "9001")
    monkeypatch.setenv("TEXTCNN_MAX_TEXTS", "7")
    settings = CliApp.run(Settings, cli_args=["--port", "9002", "--no-docs"])
    assert (settings.port, settings.max_texts, settings.host, settings.docs) == (9002, 7, "127.0.0.1", False)


def test_an_empty_variable_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("TEXTCNN_PORT", "")
    assert Settings().port == 8000


def test_every_fault_is_reported_with_both_names_of_the_setting():
    with pytest.raises(ValidationError) as caught:
        Settings(port=70000, device="tpu", max_texts=0)
    lines = describe_faults(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "--port / TEXTCNN_PORT",
        "--device / TEXTCNN_DEVICE",
        "--max-texts / TEXTCNN_MAX_TEXTS",
    ]
    assert "(given: 70000)" in lines[0]


def test_models_are_taken_from_here_before_those_that_ship(tmp_path, monkeypatch):
    monkeypatch.setattr("service.settings.CHECKOUT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path)
    assert default_models_folder() == Path("models")
    (tmp_path / "checkout" / "models").mkdir(parents=True)
    assert default_models_folder() == tmp_path / "checkout" / "models"
    (tmp_path / "models").mkdir()
    assert default_models_folder() == Path("models")
