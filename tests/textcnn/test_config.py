from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from textcnn.config import RunConfig, apply_override, merge, read_settings
from textcnn.errors import ConfigError, ReadError


def faults_of(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_mapping(values)
    return caught.value.faults


def test_all_faults_come_at_once_with_the_nearest_names() -> None:
    assert faults_of(
        {
            "dta": {},
            "train": {"learning_rte": 0.1, "max_epochs": 0, "optimizer": "sdg", "learning_rate": float("inf")},
            "data": {"text_columns": "title", "label_column": 5},
            "model": {"embedding": 3},
        }
    ) == (
        "data.text_columns: should be a list, found 'title'",
        "data.label_column: should be a string (in quotes, if it looks like a number), found 5",
        "model.embedding: should be a section with settings of its own, found 3",
        "train.optimizer: input should be 'adam', 'adamw', 'adadelta' or 'sgd', found 'sdg'",
        "train.learning_rate: input should be a finite number, found inf",
        "train.max_epochs: input should be greater than or equal to 1, found 0",
        "train.learning_rte: unknown setting; did you mean 'learning_rate'? (known: "
        + ", ".join(sorted(RunConfig().train.model_dump()))
        + ")",
        "dta: unknown setting; did you mean 'data'? (known: data, model, text, train)",
    )


def test_the_message_counts_the_faults() -> None:
    with pytest.raises(ConfigError, match="^1 fault in the configuration:\n  - train.seed: "):
        RunConfig.from_mapping({"train": {"seed": "one"}})
    with pytest.raises(ConfigError, match="^2 faults in the configuration:\n"):
        RunConfig.from_mapping({"a": 1, "b": 2})


def test_a_long_value_is_shown_in_part() -> None:
    (fault,) = faults_of({"train": {"seed": "x" * 1000}})
    assert len(fault) < 200


@pytest.mark.parametrize("weights", ["none", "balanced", {"spam": 2.0, "<odd>": 0.5}])
def test_class_weights_are_a_word_or_a_table(weights: Any) -> None:
    assert RunConfig.from_mapping({"train": {"class_weights": weights}}).train.class_weights == weights


def test_a_fault_in_class_weights_is_told_of_the_kind_that_was_meant() -> None:
    assert faults_of({"train": {"class_weights": {"spam": 0}}}) == (
        "train.class_weights.spam: input should be greater than 0, found 0",
    )
    assert faults_of({"train": {"class_weights": "balance"}}) == (
        "train.class_weights: input should be 'none' or 'balanced', found 'balance'",
    )


def test_sections_are_frozen_and_comparable() -> None:
    assert RunConfig() == RunConfig.from_mapping({"train": {"seed": 1}})
    with pytest.raises(ValidationError, match="frozen"):
        RunConfig().train.seed = 2


def test_a_configuration_survives_json() -> None:
    config = RunConfig.from_mapping({"train": {"class_weights": {"новости": 2}}, "data": {"text_columns": ["a", "b"]}})
    assert RunConfig.from_mapping(json.loads(config.to_json())) == config


def test_every_setting_is_described() -> None:
    def look(section: type[BaseModel], path: str) -> None:
        for name, field in section.model_fields.items():
            assert field.description, f"{path}{name} has no description"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                look(field.annotation, f"{path}{name}.")

    look(RunConfig, "")


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.max_epochs=5", 5),
        ("train.max_epochs=1e-3", 0.001),
        ("train.max_epochs=true", True),
        ('train.max_epochs=["a", 1]', ["a", 1]),
        ("train.max_epochs={a = 1}", {"a": 1}),
        ("train.max_epochs=plain words", "plain words"),
        ('train.max_epochs="5"', "5"),
        ("train.max_epochs=a=b", "a=b"),
        ("train.max_epochs=", ""),
        ("train.max_epochs=2024-01-31", "2024-01-31"),
    ],
)
def test_the_value_of_an_override_is_toml_or_a_string(override: str, value: object) -> None:
    changed = apply_override({"train": {"max_epochs": 1, "seed": 1}}, override)
    assert changed == {"train": {"max_epochs": value, "seed": 1}}


def test_an_override_reaches_into_lists_and_appends() -> None:
    values = {"model": {"blocks": [{"type": "a"}]}}
    assert apply_override(values, "model.blocks.0.size=5") == {"model": {"blocks": [{"type": "a", "size": 5}]}}
    assert apply_override(values, "model.blocks.1.type=b") == {"model": {"blocks": [{"type": "a"}, {"type": "b"}]}}
    assert values == {"model": {"blocks": [{"type": "a"}]}}, "the original was changed"


def test_an_override_makes_the_tables_on_its_way() -> None:
    assert apply_override({}, "train.class_weights.spam=2") == {"train": {"class_weights": {"spam": 2}}}
    assert apply_override({"train": {"class_weights": "none"}}, "train.class_weights.spam=2") == {
        "train": {"class_weights": {"spam": 2}}
    }


@pytest.mark.parametrize("override", ["train.seed", "=5", ".=5", "reviews.csv"])
def test_what_is_no_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="is not an override; write section.key=value"):
        apply_override({}, override)


@pytest.mark.parametrize("index", ["2", "-1", "first", ""])
def test_an_index_outside_the_list_is_refused(index: str) -> None:
    with pytest.raises(ConfigError, match="there is no setting at"):
        apply_override({"blocks": [{}]}, f"blocks.{index}.type=a")
    with pytest.raises(ConfigError, match="there is no setting at"):
        apply_override({"blocks": [{}]}, f"blocks.{index}=a")


def test_merging_goes_table_by_table() -> None:
    base = {"train": {"seed": 1, "l2": 0.5}, "data": {"seed": 1}, "list": [1, 2]}
    assert merge(base, {"train": {"seed": 2}, "list": [3]}) == {
        "train": {"seed": 2, "l2": 0.5},
        "data": {"seed": 1},
        "list": [3],
    }
    assert base["train"] == {"seed": 1, "l2": 0.5}, "the original was changed"


def test_a_table_of_another_type_replaces_the_old_one_whole() -> None:
    base = {"head": {"type": "a", "dropout": 0.5}}
    assert merge(base, {"head": {"dropout": 0.1}}) == {"head": {"type": "a", "dropout": 0.1}}
    assert merge(base, {"head": {"type": "a", "x": 1}}) == {"head": {"type": "a", "dropout": 0.5, "x": 1}}
    assert merge(base, {"head": {"type": "b"}}) == {"head": {"type": "b"}}


def test_toml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[train]\nseed = 5\n[[model.blocks]]\ntype = "kim_conv"\n')
    assert read_settings(path) == {"train": {"seed": 5}, "model": {"blocks": [{"type": "kim_conv"}]}}


def test_the_configuration_of_a_model_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(RunConfig().to_json())
    assert read_settings(path)["train"]["seed"] == 1
    path.write_text("[1]")
    with pytest.raises(ConfigError, match=r"config\.json holds list, expected settings by section"):
        read_settings(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not valid JSON"):
        read_settings(path)


@pytest.mark.parametrize(("name", "text"), [("run.toml", "train.seed = 5"), ("run.json", '{"train": {"seed": 5}}')])
def test_a_byte_order_mark_as_editors_on_windows_write_it_is_no_part_of_the_settings(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, "utf-8-sig")
    assert read_settings(tmp_path / name) == {"train": {"seed": 5}}


@pytest.mark.parametrize(("name", "text"), [("deep.json", "[" * 100_000), ("deep.toml", "a = " + "[" * 100_000)])
def test_settings_nested_without_end_are_no_settings(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=rf"{name} is not valid"):
        read_settings(tmp_path / name)


def test_bad_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[train]\nseed = \n")
    with pytest.raises(ConfigError, match=r"run\.toml is not valid TOML: .*line 2"):
        read_settings(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_settings(path)


def test_a_configuration_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"cannot read the configuration .*none\.toml: No such file"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(ReadError, match="Is a directory"):
        read_settings(tmp_path)
