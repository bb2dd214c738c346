from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.plan import is_name
from textcnn import TextClassifier
from textcnn import classifier as classifier_module
from textcnn.cli.train import reserve_version
from textcnn.errors import ArtifactError, DataError
from textcnn.train.checkpoint import CHECKPOINT
from textcnn.train.record import RunRecord, alone

from ...conftest import tiny_corpus, write_csv
from ...patience import PATIENCE, until
from .conftest import Run

TINY = ["model.embedding.dim=16", "model.blocks.0.num_filters=8", "train.batch_size=8", "train.learning_rate=0.02"]
SHORT = [*TINY, "train.max_epochs=2"]


def test_a_table_becomes_a_model_that_is_measured(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", "--test", "test.csv", *TINY, "train.max_epochs=6", "data.validation_fraction=0.2")
    assert ran.code == 0
    assert "validation accuracy 1" in ran.out
    assert "test accuracy 1" in ran.out
    assert ran.out.endswith("saved models/train/1\n")
    lines = ran.err.splitlines()
    assert lines[0] == "train.csv: 90 rows; text from 'text', label from 'label', utf-8"
    assert lines[1] == "test.csv: 30 rows; text from 'text', label from 'label', utf-8"
    assert lines[2].startswith("training on 72 texts, validating on 18; 3 labels, ")
    assert lines[3] == "fitting the linear classifier on n-grams"
    assert lines[4].startswith("epoch 1/6: loss ")
    assert lines[-1].startswith("try it: textcnn predict models/train/1")
    assert TextClassifier.load("models/train").metrics_["test"]["texts"] == 30
    assert len(Path("runs/train/1/metrics.jsonl").read_text().splitlines()) == 6
    assert not Path("runs/train/1", CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("text", "label"), "text from 'text', label from 'label'"),
        (("label", "text"), "text from 'label', label from 'text'"),
        (("Kommentar", "label"), "text from 'Kommentar', label from 'label'"),
        (("text", "kind"), "text from 'text', label from 'kind'"),
        (("Kommentar", "Art"), "text from 'Kommentar', label from 'Art'"),
        (("review", "sentiment"), "text from 'review', label from 'sentiment'"),
    ],
)
def test_the_test_file_may_have_columns_of_its_own(run: Run, here: Path, names: tuple[str, str], taken: str) -> None:
    data = ("label", "text") if names == ("label", "text") else ("text", "label")  # named the wrong way round
    write_csv(Path("d.csv"), *tiny_corpus(), names=data)
    write_csv(Path("t.csv"), *tiny_corpus(30), names=names)
    columns = ["--text-column", "label", "--label-column", "text"] if data[0] == "label" else []
    ran = run("train", "d.csv", "--test", "t.csv", "--validation", "t.csv", *SHORT, *columns)
    assert ran.code == 0
    assert ran.err.count(f"t.csv: 30 rows; {taken}, utf-8\n") == 2
    config = json.loads(Path("models/d/1/config.json").read_text())["data"]
    assert (tuple(config["text_columns"]), config["label_column"]) == (data[:1], data[1])


def test_a_test_file_whose_columns_cannot_be_guessed_is_told_those_of_the_data(mistake: Any, here: Path) -> None:
    Path("t.csv").write_text("a,b,c\nx,y,z\n")
    said = mistake("train", "train.csv", "--test", "t.csv", *SHORT)
    assert "t.csv: cannot tell which column holds the text; the columns are 'a', 'b', 'c'" in said
    assert "or call its columns as in the other file: text, label" in said
    said = mistake("train", "train.csv", "--test", "t.csv", *SHORT, "--text-column", "text")
    assert "t.csv: there is no column 'text'" in said


def test_a_validation_file_of_one_label_is_refused(mistake: Any, here: Path) -> None:
    write_csv(Path("v.csv"), ["my invoice"] * 20, ["billing"] * 20)
    said = mistake("train", "train.csv", "--validation", "v.csv", *SHORT)
    assert "20 of them, all have the label 'billing': the best epoch and the probabilities would be" in said
    assert not Path("models").exists()


def test_a_label_with_one_row_is_trained_on_and_named(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus()
    write_csv(Path("d.csv"), [*texts, "a horse", "two cows"], [*labels, "horse", "cow"])
    ran = run("train", "d.csv", *SHORT, "data.test_fraction=0.2", "data.validation_fraction=0.2")
    assert ran.code == 0
    (said,) = [line for line in ran.err.splitlines() if "only one row" in line]
    assert said.startswith("2 labels have only one row") and "'cow', 'horse'" in said
    assert "no validation text" not in ran.err, "said once"
    assert set(TextClassifier.load("models/d").labels) == {*labels, "horse", "cow"}


def test_settings_come_from_flags_file_and_overrides(run: Run, here: Path) -> None:
    Path("run.toml").write_text(
        'preset = "kim_rand"\n[train]\nmax_epochs = 1\nseed = 5\nl2 = 0.25\n[data]\nseed = 6\n[text]\nmax_length = 9\n'
    )
    assert run("train", "train.csv", "--config", "run.toml", "--seed", "7", *TINY, "train.l2=0.5", "--quiet").code == 0
    config = json.loads(Path("models/train/1/config.json").read_text())
    assert (config["train"]["seed"], config["data"]["seed"]) == (7, 7)
    assert (config["train"]["max_epochs"], config["train"]["l2"], config["text"]["max_length"]) == (1, 0.5, 9)
    assert config["model"]["blocks"][0]["num_filters"] == 8


def test_config_json_of_a_model_holds_a_setting_for_everything(run: Run, here: Path) -> None:
    run("train", "train.csv", *SHORT, "--quiet")
    written = json.loads(Path("models/train/1/config.json").read_text())
    again = TextClassifier(written).fit(*tiny_corpus())
    assert again.artifact_.config.model_dump(mode="json") == written


@pytest.mark.parametrize("name", ["two words", "-dash"])
def test_the_command_to_try_next_can_be_typed_as_it_stands(run: Run, here: Path, name: str) -> None:
    told = run("train", "train.csv", *SHORT, "--output", f"{name}/1").err.splitlines()[-1]
    command = shlex.split(told.removeprefix("try it: ").partition("   or   ")[0])
    assert command[:2] == ["textcnn", "predict"] and not command[2].startswith("-")
    assert run(*command[1:]).code == 0


def test_quiet_leaves_the_result_alone(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", *SHORT, "--quiet", "--output", "models/q/3")
    assert ran.err == ""
    assert [line.split()[0] for line in ran.out.splitlines()] == ["validation", "saved"]


def test_versions_count_up(run: Run, here: Path) -> None:
    home = Path("models/reviews")
    assert reserve_version(home) == home / "1"
    for name in ("9", "10", "old", ".11.xyz", "²"):
        (home / name).mkdir(parents=True)
    assert reserve_version(home) == home / "11"
    assert reserve_version(home) == home / "12", "two runs at once, two numbers"
    assert reserve_version(home, resume=True) == home / "12"
    (home / "12" / "manifest.json").touch()
    assert reserve_version(home, resume=True) == home / "13"


def test_a_second_training_of_the_same_run_ends_before_it_begins(mistake: Any, here: Path) -> None:
    Path("runs/m/1").mkdir(parents=True)
    with alone(Path("runs/m/1")):
        said = mistake("train", "train.csv", *SHORT, "--output", "models/m/1")
    assert "another training is under way in runs/m/1; wait for its end, or choose another --output" in said
    assert not Path("models").exists()


@pytest.mark.parametrize("output", ["of/mine/new/1", "of/mine/new", "new/1"])
def test_a_training_that_fails_takes_back_the_folders_that_it_made_and_no_other(
    mistake: Any, here: Path, output: str
) -> None:
    Path("of/mine").mkdir(parents=True)
    Path("bad.csv").write_text("text,label\n" + "the same,a\n" * 9)
    mistake("train", "bad.csv", *SHORT, "--output", output)
    assert sorted(path.name for path in here.rglob("*") if path.is_dir() and "runs" not in path.parts) == ["mine", "of"]


def test_an_output_without_a_number_names_the_model(run: Run, here: Path) -> None:
    for number in ("1", "2"):
        assert run("train", "train.csv", *SHORT, "--quiet", "--output", "mine").code == 0
        assert TextClassifier.load("mine").artifact_.name == "mine"
        assert TextClassifier.load("mine").artifact_.version == number
    assert run("train", "train.csv", *SHORT, "--quiet").code == 0
    assert Path("models/train/1/manifest.json").is_file()


def test_a_run_that_saves_nothing_leaves_no_folder(run: Run, here: Path) -> None:
    Path("one.csv").write_text("text,label\na,b\nc,b\n")
    assert run("train", "one.csv", *SHORT).code == 2
    assert not Path("models/one").exists()


def test_columns_may_be_named_and_joined(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus()
    rows = [{"a": text[:20], "b": text[20:], "kind": label} for text, label in zip(texts, labels, strict=True)]
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = run(
        "train", "t.jsonl", *SHORT, "--text-column", "a", "--text-column", "b", "--label-column", "kind"
    )  # fmt: skip
    assert ran.code == 0
    assert "t.jsonl: 90 rows; text from 'a' and 'b', label from 'kind', utf-8\n" in ran.err


def test_what_a_person_could_doubt_is_told(run: Run, here: Path) -> None:
    texts = ["где моя посылка", "деньги списали дважды", "лампа не работает"] * 20
    labels = ["доставка", "оплата", "ремонт"] * 20
    content = "text;label\n" + "".join(f"{text};{label}\n" for text, label in zip(texts, labels, strict=True))
    Path("t.csv").write_bytes(content.encode("cp1251") + b"no label;\n")
    ran = run("train", "t.csv", *SHORT, "--bad-rows", "skip")
    assert ran.code == 0
    assert ran.err.startswith(
        "t.csv: 60 rows; text from 'text', label from 'label', ';' between fields, cp1251\n"
        "  encoding cp1251 (guessed from the bytes; if the texts look wrong, name it with --encoding)\n"
        "  1 bad row was left out and kept in t.csv.bad-rows.csv\n"
    )


def test_test_rows_with_unknown_labels_count_as_wrong_and_are_told(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus(30, seed=1)
    write_csv(here / "odd.csv", [*texts, "snow tomorrow"], [*labels, "weather"])
    ran = run("train", "train.csv", *SHORT, "--test", "odd.csv")
    assert ran.code == 0
    assert "1 row has a label that the model does not know" in ran.err
    assert TextClassifier.load("models/train").metrics_["test"]["unknown_labels"] == 1


def test_part_of_the_data_may_be_held_out_for_the_test(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", *SHORT, "data.test_fraction=0.2")
    assert "test accuracy" in ran.out
    assert "on 18 texts" in ran.out


def test_labels_that_no_validation_text_has_are_named(run: Run, tmp_path: Path) -> None:
    rows = [(f"good thing {i}", "often") for i in range(100)] + [(f"bad thing {i}", "rare") for i in range(4)]
    rows += [(f"odd thing {i} {name}", name) for name in "abcd" for i in range(2)]
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    ran = run("train", tmp_path / "data.csv", "--output", tmp_path / "m/1", "train.max_epochs=1")
    assert ran.code == 0
    assert "no validation text has the label " in ran.out + ran.err
    assert "the figures of validation say nothing of it" in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "none.csv: there is no such file"),
        (["trian.csv"], "there is no such file; did you mean 'train.csv'?"),
        (["-"], "a table cannot be read from standard input"),
        (["."], ". is a folder; give the path of one file in it"),
        (["train.xlsx"], "cannot tell the format from '.xlsx'"),
        (["empty.csv"], "empty.csv is empty"),
        (["train.csv", "--text-column", "txt"], "there is no column 'txt'; did you mean 'text'?"),
        (["train.csv", "--label-column", "lable"], "there is no column 'lable'; did you mean 'label'?"),
        (["train.csv", "--encoding", "utf9"], "'utf9' is no text encoding"),
        (["train.csv", "--output", "taken/1"], "exists already; choose another version, or pass --overwrite"),
        (["train.csv", "--output", "."], "exists already"),
        (["train.csv", "--output", ".", "--overwrite"], "holds something else than a model"),
        (["train.csv", "--output", "train.csv"], "is a file; a model is a folder"),
        (["train.csv", "--output", "train.csv/1"], "is a file"),
        (["train.csv", "--config", "none.toml"], "cannot read the configuration none.toml: No such file"),
        (["train.csv", "--config", "train.csv"], "train.csv is not valid TOML"),
        (["train.csv", "--config", "odd.toml"], "unknown preset '5'"),
        (["train.csv", "--preset", "kim_ran"], "unknown preset 'kim_ran'; did you mean 'kim_rand'?"),
        (["train.csv", "train.epochs=5"], "train.epochs: unknown setting"),
        (["train.csv", "test.csv"], "'test.csv' is not an override; write section.key=value"),
        (["train.csv", "train.max_epochs=0"], "train.max_epochs: input should be greater than or equal to 1, found 0"),
        (["train.csv", "train.class_weights.blling=2"], "there is no label 'blling'; did you mean 'billing'?"),
        (["train.csv", "--mode", "static"], "which needs word vectors"),
        (["train.csv", "--device", "tpu"], "'tpu' is no device"),
        (["train.csv", "--validation", "odd.csv"], "labels that training has not seen: 'weather'"),
        (["train.csv", "--test", "none.csv"], "none.csv: there is no such file"),
        (["one.csv"], "at least 2 different labels, found only 'a'"),
        (["single.csv"], "3 of 3 labels have only one row"),
        (["broken.csv"], "row 3: 3 fields where the header has 2"),
    ],
)
def test_a_mistake_is_told_before_any_work(mistake: Any, here: Path, arguments: list[str], message: str) -> None:
    Path("empty.csv").write_text("")
    Path("train.xlsx").write_text("x")
    Path("odd.toml").write_text("preset = 5\n")
    Path("taken/1").mkdir(parents=True)
    Path("taken/1/file").write_text("x")
    write_csv(here / "odd.csv", ["snow"], ["weather"])
    write_csv(here / "one.csv", ["x", "y"], ["a", "a"])
    write_csv(here / "single.csv", ["x", "y", "z"], ["a", "b", "c"])
    Path("broken.csv").write_text("text,label\nx,a\ny,b,c\n")
    said = mistake("train", *arguments)
    assert message in said
    assert not Path("models").exists()
    assert not Path("runs").exists() or message.startswith(("labels", "there is no label", "at least 2", "3 of 3"))


def test_every_mistake_in_the_settings_is_told_at_once(mistake: Any, here: Path) -> None:
    Path("run.toml").write_text("[train]\nsed = 1\n[text]\nmax_length = 0\n")
    said = mistake("train", "train.csv", "--config", "run.toml", "--preset", "kim", "train.patience=-1", "x")
    assert said.startswith("textcnn: 5 faults in the configuration:\n  - ")


def test_a_model_that_finds_its_disk_full_is_kept_beside_the_record_of_its_run(
    mistake: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, write = ["models"], classifier_module.write_artifact

    def write_artifact(folder: Path, artifact: Any, *, overwrite: bool = False) -> None:
        if not set(full).isdisjoint(folder.parts):
            raise ArtifactError(f"cannot write {folder}: No space left on device")
        write(folder, artifact, overwrite=overwrite)

    monkeypatch.setattr(classifier_module, "write_artifact", write_artifact)
    for _ in range(2):
        said = mistake("train", "train.csv", *SHORT, "--quiet")
        assert "No space left on device. What was trained is in runs/train/1/model, a model folder" in said
    assert TextClassifier.load("runs/train/1/model").labels == ("billing", "delivery", "repair")
    assert not Path("models").exists()
    full.append("runs")
    assert mistake("train", "train.csv", *SHORT, "--quiet").endswith("No space left on device\n")


def test_a_record_that_cannot_be_ended_is_told_and_the_model_is_saved(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunRecord, "end", full)
    ran = run("train", "train.csv", *SHORT)
    assert ran.code == 0
    assert "cannot write runs/train/1/run.json: No space left on device; the model is saved" in ran.err
    assert "saved models/train/1\n" in ran.out

    def fails(*_: object, **__: object) -> None:
        raise DataError("the reason")

    monkeypatch.setattr("textcnn.train.run.prepare", fails)
    assert run("train", "train.csv", *SHORT).err.endswith("textcnn: the reason\n"), "what failed first is told"


@pytest.mark.parametrize("gone", ["2>&1 | true", "2>/dev/full"])
def test_a_training_whose_messages_nobody_takes_any_more_goes_on(here: Path, gone: str) -> None:
    if "full" in gone and not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    command = [sys.executable, "-m", "textcnn.cli.main", "train", "train.csv", *SHORT]
    done = subprocess.run(
        ["bash", "-c", f'"$0" "$@" {gone}; exit "${{PIPESTATUS[0]}}"', *command], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert TextClassifier.load("models/train/1").labels == ("billing", "delivery", "repair")


def test_overwriting_replaces_the_model(run: Run, here: Path) -> None:
    run("train", "train.csv", *SHORT, "--output", "m/1", "--seed", "1", "--quiet")
    assert run("train", "train.csv", *SHORT, "--output", "m/1", "--seed", "2", "--overwrite", "--quiet").code == 0
    assert TextClassifier.load("m/1").artifact_.config.train.seed == 2


def test_a_run_folder_that_cannot_be_written_is_told(mistake: Any, here: Path) -> None:
    Path("runs").write_text("a file")
    said = mistake("train", "train.csv", *SHORT)
    assert "cannot write runs/train/1 (figures and checkpoints)" in said


def test_a_person_who_forgot_the_checkpoint_is_told(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", *SHORT, "--resume")
    assert ran.code == 0
    assert "there is no checkpoint to resume from" in ran.err


def interrupted_after_an_epoch(command: list[str], log: Path, *, times: int) -> tuple[str, str]:
    """Output and messages of a training that gets `times` Ctrl-C once its log has grown."""
    before = log.stat().st_size if log.exists() else 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def grown() -> bool:
        assert process.poll() is None
        return log.exists() and log.stat().st_size > before

    until(grown, "the first epoch")
    for _ in range(times):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.02)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in err
    return out, err


def test_ctrl_c_saves_the_best_so_far_and_the_run_can_go_on(run: Run, here: Path) -> None:
    settings = [*TINY, "train.max_epochs=100000", "train.patience=0"]
    command = [sys.executable, "-m", "textcnn.cli.main", "train", "train.csv", *settings]
    log = Path("runs/train/1/metrics.jsonl")
    out, err = interrupted_after_an_epoch(command, log, times=1)
    assert "interrupted: keeping the weights of " in err
    assert "saved models/train/1\n" in out
    model = TextClassifier.load("models/train/1")
    assert model.metrics_["interrupted"]
    assert len(model.predict(["where is my parcel"])) == 1

    again = "--output models/train/1 --overwrite --resume"
    assert f"the same command with {again} goes on" in err
    out, err = interrupted_after_an_epoch([*command, *again.split()], log, times=1)
    assert "resuming at epoch" in err
    assert len(TextClassifier.load("models/train/1").metrics_["history"]) > len(model.metrics_["history"])


def test_a_second_ctrl_c_does_not_lose_what_the_first_one_kept(run: Run, here: Path) -> None:
    settings = [*TINY, "train.max_epochs=100000", "train.patience=0"]
    command = [sys.executable, "-m", "textcnn.cli.main", "train", "train.csv", "--test", "test.csv", *settings]
    out, _ = interrupted_after_an_epoch(command, Path("runs/train/1/metrics.jsonl"), times=2)
    assert "saved models/train/1\n" in out
    assert TextClassifier.load("models/train/1").metrics_["interrupted"]


@pytest.mark.parametrize("when", ["evaluate", "fitted"])
def test_ctrl_c_after_the_training_saves_it_without_figures_of_the_test(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def press(real: Any) -> Any:
        def pressed(*given: Any, **options: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return real(*given, **options)

        return pressed

    place = (TextClassifier, "evaluate") if when == "evaluate" else (classifier_module, "Fitted")
    monkeypatch.setattr(*place, press(getattr(*place)))
    ran = run("train", "train.csv", "--test", "test.csv", *SHORT)
    assert ran.code == 130
    assert "it is trained; saving it without figures of the test texts" in ran.err
    assert "saved models/train/1\n" in ran.out
    metrics = json.loads(Path("models/train/1/metrics.json").read_text())
    assert not metrics["interrupted"] and "test" not in metrics and len(metrics["history"]) == 2


def test_ctrl_c_before_the_training_leaves_a_record_of_it_alone(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("textcnn.train.run.prepare", interrupt)
    ran = run("train", "train.csv", *SHORT)
    assert (ran.code, Path("models").exists()) == (130, False)
    assert json.loads(Path("runs/train/1/run.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("seed", ["-5", "99999999999999999999999"])
def test_a_seed_that_is_none_is_told_before_any_work(run: Run, here: Path, seed: str) -> None:
    ran = run("train", "train.csv", "--seed", seed, *SHORT)
    assert ran.code == 2
    assert "data.seed" in ran.err and "train.seed" in ran.err and "reading" not in ran.err


def test_a_loss_without_bounds_ends_the_run_and_saves_nothing(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", *TINY, "train.learning_rate=1e30")
    assert ran.code == 2
    assert "training diverged in epoch" in ran.err and "Lower train.learning_rate (now 1e+30)" in ran.err
    assert not Path("models").exists() or not list(Path("models").rglob("manifest.json"))


def test_a_test_file_and_a_test_fraction_are_one_too_many(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", "--test", "test.csv", "data.test_fraction=0.2", *SHORT)
    assert ran.code == 2
    assert "choose one of both" in ran.err


def test_a_test_file_whose_labels_nobody_knows_loses_no_model(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus()
    write_csv(Path("odd.csv"), texts, [f"odd {label}" for label in labels])
    ran = run("train", "train.csv", "--test", "odd.csv", *SHORT)
    assert ran.code == 2
    assert "odd.csv" in ran.err and "no label of" in ran.err


def test_several_members_are_told_of_together_and_alone(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", "--test", "test.csv", *SHORT, "train.members=3")
    assert ran.code == 0
    assert "member 3/3, epoch 2/2: loss " in ran.err
    out = ran.out.splitlines()
    assert out[0].startswith("validation accuracy ")
    assert out[1].startswith("  each of its 3 members alone: ") and out[1].count("%") == 3
    assert run("train", "train.csv", *SHORT, "train.members=3", "data.validation_fraction=0").code == 0
    shown = run("inspect", "models/train/1").out
    assert "32 x 48" in shown and "32 x 72" in shown, "the vectors of all three, and their filters"
    listed = run("runs", "train/1", "train/2")
    assert listed.code == 0 and "data.validation_fraction" in listed.out
    record = json.loads(Path("runs/train/1/run.json").read_text())
    assert record["config"]["train"]["members"] == len(record["metrics"]["members"]) == 3


def test_an_interrupted_run_of_several_members_goes_on_with_those_that_are_left(run: Run, here: Path) -> None:
    settings = [*TINY, "train.max_epochs=100000", "train.patience=0", "train.members=2"]
    command = [sys.executable, "-m", "textcnn.cli.main", "train", "train.csv", *settings]
    log = Path("runs/train/1/metrics.jsonl")
    _, err = interrupted_after_an_epoch(command, log, times=1)
    assert "the model is made of 1 of 2 members" in err
    again = "--output models/train/1 --overwrite --resume"
    assert f"the same command with {again} goes on" in err
    _, err = interrupted_after_an_epoch([*command, *again.split()], log, times=1)
    assert "resuming at epoch" in err


def test_members_that_cannot_answer_as_one_are_told_before_any_work(run: Run, here: Path) -> None:
    ran = run("train", "train.csv", "--preset", "qrnn", "train.members=3")
    assert ran.code == 2
    assert "train.members: several networks answer as one only with one kim_conv block" in ran.err
    assert "reading" not in ran.err and not Path("models").exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Tickets Export 2025-11 (1).csv", "Tickets-Export-2025-11-1"),
        ("Kündigungen_é.v2.csv", "Kundigungen_e"),
        ("数据.csv", "model"),
        ("-x-.csv", "x"),
        (f"{'a' * 63}-b.csv", "a" * 63),
    ],
)
def test_the_name_of_a_model_is_one_that_the_service_can_change_while_it_runs(
    run: Run, here: Path, file: str, name: str
) -> None:
    write_csv(Path(file), *tiny_corpus(30))
    ran = run("train", *(["--", file] if file.startswith("-") else [file]), *SHORT, "train.max_epochs=1")
    assert ran.out.endswith(f"saved models/{name}/1\n")
    assert is_name(name)


def test_validation_labels_in_another_spelling_are_told_with_their_file(mistake: Any, here: Path) -> None:
    texts, labels = tiny_corpus(30, seed=2)
    write_csv(Path("v.csv"), texts, [labels[0].upper(), *labels[1:]])
    said = mistake("train", "train.csv", "--validation", "v.csv", *SHORT)
    assert f"v.csv: labels that training has not seen: {labels[0].upper()!r}; did you mean {labels[0]!r}?" in said
    assert "Spell them as the data does, or take those rows out of the file" in said


def test_texts_to_measure_on_that_are_trained_on_are_told(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus()
    write_csv(Path("v.csv"), [f" {texts[0]}", *tiny_corpus(30, seed=3)[0]], [labels[0], *tiny_corpus(30, seed=3)[1]])
    known = sum(text in texts for text in tiny_corpus(30, seed=3)[0]) + 1
    write_csv(Path("t.csv"), ["a horse in the rain"], [labels[0]])
    told = run("train", "train.csv", "--validation", "v.csv", "--test", "t.csv", *SHORT).err
    assert f"{known} of 31 texts of v.csv stand in train.csv word for word: its figures are too good" in told
    assert "textcnn check train.csv --test v.csv lists them" in told
    assert "texts of t.csv" not in told


def test_feedback_is_learned_from_in_the_same_command(run: Run, here: Path) -> None:
    texts, labels = tiny_corpus()
    kept = [
        {"time": "2026-01", "key": None, "text": "a horse", "label": "repair"},
        {"time": "2026-02", "key": None, "text": texts[0], "label": "repair" if labels[0] != "repair" else "billing"},
        {"time": "2026-03", "key": None, "text": "a cow", "label": "Repair", "model": "train"},
        {"time": "2026-03", "key": None, "text": "a dog", "label": "repair", "model": "other"},
    ]
    Path("feedback").mkdir()
    Path("feedback/1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    ran = run("train", "train.csv", "--feedback", "feedback", *SHORT)
    assert ran.code == 0
    assert "feedback: 1 text added, 1 with another label than in train.csv, which is corrected, 0 with the" in ran.err
    assert "  1 row is of other models than train, and left out" in ran.err
    assert "labels that train.csv does not have: 'Repair' 1; did you mean 'repair'?; put a row" in ran.err
    assert "training on 82 texts, validating on 9; 3 labels" in ran.err
    model = TextClassifier.load("models/train")
    assert list(model.metrics_["files"]) == ["data", "feedback 1"]
    said = run("evaluate", "models/train", "feedback/1.jsonl").err
    assert "feedback/1.jsonl: the model was trained on this very file, too" in said


def test_feedback_for_several_tasks_is_refused_before_any_work(mistake: Any, here: Path) -> None:
    write_csv(Path("d.csv"), *tiny_corpus(30))
    Path("f.jsonl").write_text('{"text": "a horse", "label": "repair"}\n')
    said = mistake("train", "d.csv", "--task-column", "label", "--feedback", "f.jsonl", *SHORT)
    assert "--feedback has one label a text" in said
    assert not Path("models").exists()


def test_what_to_serve_and_what_to_compare_with_is_told(run: Run, here: Path) -> None:
    short = ["train", "train.csv", *SHORT, "train.max_epochs=1"]
    said = [run(*short).err.splitlines() for _ in range(2)]
    assert said[0][-1].endswith('try it: textcnn predict models/train/1 "a text"   or   textcnn serve --model=train')
    assert said[1][-2].endswith("textcnn serve --model=train")
    assert said[1][-1] == "is it better? textcnn evaluate models/train/2 test.csv --against models/train/1"
    assert run("evaluate", "models/train/2", "test.csv", "--against", "models/train/1").code == 0
    again = run(*short, "--output", "models/train/1", "--overwrite").err.splitlines()
    assert again[-1].endswith("--model=models/train/1"), "by its name the newer one would be served"
    assert run(*short, "--output", "elsewhere/m/1").err.splitlines()[-1].endswith("--model=elsewhere/m/1")
