"""textcnn train."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from textcnn.choices import EmbeddingMode
from textcnn.cli.common import (
    FILE,
    label_separator_option,
    reading_options,
    runs_option,
    shown_path,
    tell,
    tell_unknown_labels,
    typed_path,
)
from textcnn.cli.settings import configure, read_labelled, settings_options

MODELS = ("models",)  # where the service looks, below the working folder
EPILOG = """\b
Examples:
  textcnn train reviews.csv
  textcnn train train.csv --test test.csv --output models/questions/1
  textcnn train data.csv train.members=3
  textcnn train data.csv --preset kim_static --vectors glove.txt
  textcnn train mine.csv --start-from models/reviews
  textcnn train tickets.csv --feedback feedback
  textcnn train posts.csv --label-separator ";"
  textcnn train questions.csv --task-column coarse --task-column fine
  textcnn train data.csv --config run.toml train.max_epochs=40 model.blocks.0.num_filters=200

Every setting of every section can be given as section.key=value; `--config` takes the same as a TOML file, or
the config.json of a model, which holds all of them.
"""


@click.command(epilog=EPILOG)
@click.argument("data", type=FILE)
@click.option("--test", type=FILE, help="Labelled texts to measure the finished model on.")
@click.option(
    "--validation", type=FILE, help="Labelled texts to choose the best epoch on; else a share of the data is held out."
)
@click.option(
    "--feedback",
    multiple=True,
    type=FILE,
    metavar="PATH",
    help="What textcnn serve --feedback kept, a file or its folder: added to DATA, whose labels it corrects.",
)
@click.option(
    "--output",
    type=FILE,
    help="Model folder, <name>/<version>, or <name> for its next number; default models/<name of the data>.",
)
@click.option("--overwrite", is_flag=True, help="Replace the model folder if it exists.")
@settings_options
@label_separator_option
@click.option(
    "--task-column",
    multiple=True,
    metavar="NAME",
    help="Column with the labels of one task; repeat for several, which one network then learns together.",
)
@click.option("--vectors", default="", help="Word vectors: word2vec, GloVe, fastText or gensim.")
@click.option(
    "--mode",
    type=click.Choice(get_args(EmbeddingMode)),
    help="How the vectors are used; static if --vectors is given and the preset does not say.",
)
@click.option("--start-from", default="", metavar="MODEL", help="Model whose words and blocks to start from.")
@click.option("--device", default="", help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", type=int, help="Seed of splits, weights and order.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the same run, if there is one.")
@runs_option
@click.option("--quiet", is_flag=True, help="Only the result.")
@reading_options(labels=True)
def train(
    data: Path, overrides: tuple[str, ...], test: Path | None, validation: Path | None, feedback: tuple[Path, ...],
    output: Path | None, overwrite: bool, config_file: Path | None, preset: str | None, vectors: str, mode: str | None,
    device: str, start_from: str, label_separator: str, task_column: tuple[str, ...], seed: int | None, resume: bool,
    quiet: bool, runs_folder: Path, **reading: Any,
) -> int:  # fmt: skip
    """Train a model on DATA (csv, tsv, jsonl, parquet; also .gz, .bz2, .zst)."""
    from textcnn.artifact import check_place
    from textcnn.classifier import TextClassifier
    from textcnn.errors import ArtifactError, ConfigError
    from textcnn.train.checkpoint import CHECKPOINT
    from textcnn.train.interrupt import Interrupt
    from textcnn.train.record import RECORD, alone, recorded

    config = configure(
        config_file, preset, overrides, reading=reading, vectors=vectors, mode=mode, device=device, seed=seed,
        start_from=start_from, label_separator=label_separator, task_columns=task_column,
    )  # fmt: skip
    if test and config.data.test_fraction:
        raise ConfigError("data.test_fraction holds texts out to test on, and --test gives some: choose one of both")
    home = _home(output, data)
    above = home or (output or Path()).parent
    made = [path for path in (above, *above.absolute().parents) if not path.exists()]
    folder = (reserve_version(home, resume=resume) if home else output or Path()).absolute()
    click.get_current_context().call_on_close(partial(_remove_empty, [*([folder] if home else []), *made]))
    if not folder.parent.name:
        raise ArtifactError(f"--output {output} has no name of a model: give <folder>/<name>/<version>")
    check_place(folder, overwrite=overwrite)

    asked, (texts, labels, config) = config, read_labelled(data, config, quiet)
    if config.model.head["type"] == "single_label":
        _tell_joined(labels)
    held_out = read_labelled(validation, asked, quiet, like=config.data)[:2] if validation else None
    tested = read_labelled(test, asked, quiet, like=config.data)[:2] if test else None
    said = _files_of(feedback)
    if said:
        texts, labels = _taught(said, texts, labels, config, data=data, name=folder.parent.name)
    if test and tested:
        _check_known(test, tested[1], labels, config)
    if validation and held_out:
        _check_all_known(validation, held_out[1], labels, config)
    for file, given in ((validation, held_out), (test, tested)):
        if file and given:
            _tell_known_texts(file, given[0], data, texts)
    if tested is None and config.data.test_fraction:
        (texts, labels), tested = _hold_out(texts, labels, config)

    run_folder = runs_folder / folder.parent.name / folder.name
    progress = _progress(run_folder, quiet)
    files = {"data": data, "validation": validation, "test": test}
    files |= {f"feedback {number}": file for number, file in enumerate(said, 1)}
    with (
        alone(run_folder),
        Interrupt(raising=True) as interrupt,
        recorded(run_folder, config=config, files=files) as record,
    ):
        model = TextClassifier(config).fit(
            texts, labels, validation=held_out, progress=progress, run_folder=run_folder, resume=resume
        )
        interrupted = bool(model.metrics_["interrupted"])
        if interrupted:
            tell(["saving it ..."])
        unmeasured = tested and not _measured(model, tested, skip=interrupt.asked and not interrupted)
        model.record("files", {use: digest for use, digest in record.files.items() if use != "test"})
        _save(model, folder, run_folder, overwrite=overwrite)
        try:
            record.end_with(model, model=str(folder))
        except OSError as error:
            tell(
                [f"cannot write {run_folder / RECORD}: {error.strerror}; the model is saved, the record of its run not"]
            )
    if not interrupted:
        (run_folder / CHECKPOINT).unlink(missing_ok=True)
    _tell_result(model, folder, test, quiet, interrupted)
    return 130 if interrupted or unmeasured or interrupt.asked else 0


def _measured(model: Any, tested: Any, *, skip: bool) -> bool:
    """Whether the figures of the test texts came; Ctrl-C, now or (`skip`) since the training ended, does without."""
    from textcnn.train.interrupt import Interrupt

    try:
        if skip:
            raise KeyboardInterrupt
        with Interrupt(raising=True):
            figures = model.evaluate(*tested)
    except KeyboardInterrupt:
        tell(["interrupted: it is trained; saving it without figures of the test texts ..."])
        return False
    model.record("test", figures)
    tell_unknown_labels(figures)
    return True


def _home(output: Path | None, data: Path) -> Path | None:
    """The folder whose next version is to be trained; None where `output` itself is the version."""
    if output is None:
        return Path(*MODELS) / _servable(data.name.split(".")[0])
    try:
        inside = [child.name for child in output.iterdir()] if output.exists() else []
    except OSError:  # a file, or not ours to read: check_place says so
        return None
    named = output.name and not output.name.isdecimal()
    return output if named and (not inside or any(name.isdecimal() for name in inside)) else None


def _servable(name: str) -> str:
    """A name of a file as one that the service, its addresses and shells take as it is: Mails (Mai) -> Mails-Mai."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")[:64].rstrip("-_") or "model"


def reserve_version(home: Path, *, resume: bool = False) -> Path:
    """home/<highest number + 1>, made as an empty folder: two runs at once get two numbers.

    `resume` takes the highest number itself where a killed run left its folder empty. It is removed again when
    the command ends if nothing was saved there. Raises ArtifactError.
    """
    from textcnn.artifact import last_version
    from textcnn.errors import ArtifactError

    while True:
        last = last_version(home)
        left = resume and (home / str(last)).is_dir() and not any((home / str(last)).iterdir())
        folder = home / str(last if left else last + 1)
        try:
            folder.mkdir(parents=True, exist_ok=left)
        except FileExistsError:
            continue
        except OSError as error:
            raise ArtifactError(f"cannot write {folder}: {error.strerror}") from None
        return folder


def _remove_empty(folders: Sequence[Path]) -> None:
    """Those that this run has made, in the order given, and nothing came to stand in."""
    for folder in folders:
        with suppress(OSError):  # something is in it, or it is not there
            folder.rmdir()


def _progress(run_folder: Path, quiet: bool) -> Any:
    from textcnn.errors import ArtifactError
    from textcnn.train.progress import Progress

    try:
        return Progress(quiet=quiet, folder=run_folder)
    except OSError as error:
        raise ArtifactError(f"cannot write {run_folder} (figures and checkpoints): {error.strerror}") from None


def _hold_out(texts: list[str], labels: Any, config: Any) -> Any:
    """(texts, labels) to train on and to test on."""
    from textcnn.data.label_rows import LabelRows, pick_labels
    from textcnn.data.split import stratified_split

    data = config.data
    keys = LabelRows.read(labels, config.model.head["type"], data.label_separator).keys
    parts = stratified_split(texts, keys, fraction=data.test_fraction, seed=data.seed)
    return tuple(([texts[row] for row in rows], pick_labels(labels, rows)) for rows in parts)


def _tell_joined(labels: Any) -> None:
    """A line where labels look like several in one."""
    from textcnn.doctor.labels import joined_by

    names = set(labels)
    separator = joined_by(names)
    if separator:
        joined = [name for name in names if separator in name]
        tell(
            [
                f"{len(joined):,} of {len(names):,} labels are others joined by {separator!r}, such as {min(joined)!r}"
                f": if a text may have several labels, stop here and give --label-separator {separator!r}"
            ]
        )


def _check_known(test: Path, found: Any, known: Any, config: Any) -> None:
    """Raises LabelError for a test file that has no label in common with the training data."""
    from textcnn.data.label_rows import LabelRows
    from textcnn.errors import LabelError

    there, here = (
        sorted(set(LabelRows.read(labels, config.model.head["type"], config.data.label_separator).flat))
        for labels in (found, known)
    )
    if not set(there) & set(here):
        raise LabelError(
            f"{test} has no label of the training data: found {', '.join(there[:5])}; expected {', '.join(here[:5])}"
        )


def _files_of(feedback: Sequence[Path]) -> list[Path]:
    if not feedback:
        return []
    from textcnn.data.feedback import feedback_files

    return [file for path in feedback for file in feedback_files(path)]


def _taught(files: Sequence[Path], texts: list[str], labels: Any, config: Any, *, data: Path, name: str) -> Any:
    """(texts, labels) with the feedback on the model of that name in the files; what it changes is told."""
    from textcnn.cli.settings import options_of
    from textcnn.data.feedback import read_feedback, with_feedback
    from textcnn.data.label_rows import LabelRows
    from textcnn.errors import ConfigError
    from textcnn.registry import nearest

    head = config.model.head["type"]
    if head == "multi_task":
        raise ConfigError("--feedback has one label a text, and a multi_task head wants one of each task")
    several = len(config.data.text_columns) if config.text.segments == "columns" else 1
    options = replace(options_of(config), delimiter="", encoding="")
    said = [one for file in files for one in read_feedback(file, options, texts=several)]
    ours = [one for one in said if one.model in ("", name)]
    separator = config.data.label_separator if head == "multi_label" else ""
    known = set(LabelRows.read(labels, head, config.data.label_separator).flat)
    found = with_feedback(texts, labels, ours, known, separator=separator)
    lines = [
        f"feedback: {_texts(found.added)} added, {found.corrected:,} with another label than in {data}, which is "
        f"corrected, {found.confirmed:,} with the same"
    ]
    if others := len(said) - len(ours):
        rows = "1 row is" if others == 1 else f"{others:,} rows are"
        lines.append(f"  {rows} of other models than {name}, and left out")
    if found.unknown:
        listed = ", ".join(
            f"{label!r} {times:,}{nearest(label, known)}" for label, times in found.unknown.most_common(5)
        )
        more = f" and {len(found.unknown) - 5:,} more" if len(found.unknown) > 5 else ""
        lines.append(
            f"  left out for labels that {data} does not have: {listed}{more}; "
            "put a row of such a label there to have them"
        )
    tell(lines)
    return found.texts, found.labels


def _check_all_known(validation: Path, found: Any, known: Any, config: Any) -> None:
    """Raises LabelError for validation labels that the data does not have: their loss cannot be told."""
    from textcnn.data.label_rows import LabelRows
    from textcnn.errors import LabelError

    head, separator = config.model.head["type"], config.data.label_separator
    if head == "multi_task" and set(found) != set(known):
        return  # said by those who train
    try:
        LabelRows.read(found, head, separator).encode(LabelRows.read(known, head, separator).label_set())
    except LabelError as error:
        raise LabelError(
            f"{validation}: {error}. Spell them as the data does, or take those rows out of the file"
        ) from None


def _tell_known_texts(file: Path, texts: Sequence[str], data: Path, known: Sequence[str]) -> None:
    """A line where texts to measure on are texts to train on."""
    seen = {text.strip() for text in known}
    count = sum(text.strip() in seen for text in texts)
    if count:
        tell(
            [
                f"{count:,} of {len(texts):,} texts of {file} stand in {data} word for word: its figures are too good "
                f"(textcnn check {typed_path(data)} --test {typed_path(file)} lists them)"
            ]
        )


def _save(model: Any, folder: Path, run_folder: Path, *, overwrite: bool) -> None:
    """Where the folder cannot be written by now, the model is kept with its run. Raises ArtifactError."""
    from textcnn.errors import ArtifactError

    try:
        model.save(folder, overwrite=overwrite)
    except ArtifactError as error:
        kept = run_folder / "model"
        try:
            model.save(kept, overwrite=True)
        except ArtifactError:
            raise error from None
        raise ArtifactError(
            f"{error}. What was trained is in {kept}, a model folder: copy it to where it belongs"
        ) from None


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count:,} texts"


def _tell_result(model: Any, folder: Path, test: Path | None, quiet: bool, interrupted: bool) -> None:
    from textcnn.artifact import model_versions

    metrics = model.metrics_
    for part in ("validation", "test"):
        if metrics.get(part):
            click.echo(f"{part} accuracy {metrics[part]['accuracy']:.1%} on {_texts(metrics[part]['texts'])}")
            if part == "validation" and "members" in metrics:
                alone = ", ".join(f"{one['validation']['accuracy']:.1%}" for one in metrics["members"])
                click.echo(f"  each of its {len(metrics['members'])} members alone: {alone}")
            for task, figures in metrics[part].get("tasks", {}).items():
                click.echo(f"  {task}: accuracy {figures['accuracy']:.1%} on {_texts(figures['texts'])}")
            if "micro_f1" in metrics[part]:
                click.echo(f"  micro F1 {metrics[part]['micro_f1']:.1%}, macro F1 {metrics[part]['macro_f1']:.1%}")
    click.echo(f"saved {shown_path(folder)}")
    typed = typed_path(folder)
    if interrupted:
        tell([f"interrupted; the same command with --output {typed} --overwrite --resume goes on"])
    elif not quiet:
        given = " ".join(['"a text"'] * model.texts_per_record)
        versions = [path.name for path in model_versions(folder.parent)]
        # by its name the service takes the newest version, or that which it was told to; by its path this one for ever
        named = shown_path(folder).parts[:-2] == MODELS and versions[-1:] == [folder.name]
        served = shlex.quote(folder.parent.name) if named else typed
        tell([f"try it: textcnn predict {typed} {given}   or   textcnn serve --model={served}"])
        before = versions[: versions.index(folder.name)] if folder.name in versions else []
        if before:
            file, other = typed_path(test or Path("test.csv")), typed_path(folder.with_name(before[-1]))
            tell([f"is it better? textcnn evaluate {typed} {file} --against {other}"])
