"""What the project promises as a whole: its public names, light imports, a README that works."""

from __future__ import annotations

import ast
import re
import shlex
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import click
import pytest

import textcnn
from textcnn.cli.main import cli

from .patience import PATIENCE, until

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join([README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))])
SERVED = "http://localhost:8000"
HEAVY = ("torch", "pyarrow", "gensim", "sklearn", "scipy", "pandas", "matplotlib", "fastapi", "httpx")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES, re.MULTILINE | re.DOTALL)
    return [body for name, body in found if name == language]


def loaded_by(code: str, *arguments: str) -> list[str]:
    """The heavy packages that a fresh process has loaded after some code."""
    code += f"\nimport sys; print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    found: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found


def test_the_public_names_are_exactly_these() -> None:
    assert textcnn.__all__ == [
        "Counterfactual",
        "Explanation",
        "LabelScore",
        "Ngram",
        "Prediction",
        "RunConfig",
        "Summary",
        "TextCNNError",
        "TextClassifier",
        "__version__",
        "model_versions",
    ]
    assert dir(textcnn) == textcnn.__all__
    for name in textcnn.__all__:
        assert getattr(textcnn, name) is not None
    with pytest.raises(AttributeError, match="module 'textcnn' has no attribute 'Classifier'"):
        _ = textcnn.Classifier


def test_the_version_stands_in_one_place() -> None:
    assert f'version = "{textcnn.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## {textcnn.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_what_c_includes_goes_with_it_into_an_archive_of_the_sources() -> None:
    """Without a header the extension is not compiled there, and no more than a slower engine tells of it."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    modules = setup["tool"]["setuptools"]["ext-modules"]
    assert len(modules) == 3
    for module in modules:
        named = {ROOT / path for path in [*module["sources"], *module.get("depends", [])]}
        included = {
            (path.parent / header).resolve()
            for path in named
            for header in re.findall(r'^\s*#\s*include "(.+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        }
        assert included <= named


def test_importing_textcnn_loads_nothing() -> None:
    code = "import textcnn, sys; print(sorted({'numpy', 'pydantic', 'click', 'tokenizers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert loaded_by("import textcnn") == []


def test_a_trained_model_answers_without_torch(model_folder: Path) -> None:
    load = "import sys, textcnn; model = textcnn.TextClassifier.load(sys.argv[1], engine='ngram_table')"
    assert loaded_by(f"{load}; assert len(model.classify(['parcel', ''])) == 2", str(model_folder)) == []
    assert loaded_by(f"{load}; assert len(model.explain(['parcel', ''])) == 2", str(model_folder)) == []


@pytest.mark.parametrize("preset", ["two_towers", "document"])
def test_a_model_of_segments_answers_without_torch(preset: str, tmp_path: Path) -> None:
    texts = [("a b", "b a"), ("c d", "d c")] * 20 if preset == "two_towers" else ["A b. B a!", "C d. D c!"] * 20
    settings = {"train": {"max_epochs": 1}, "model": {"embedding": {"dim": 4}}}
    textcnn.TextClassifier(settings, preset=preset).fit(texts, ["x", "y"] * 20).save(tmp_path / "m" / "1")
    load = "import sys, textcnn; model = textcnn.TextClassifier.load(sys.argv[1], engine='segment_table')"
    ask = f"texts = {texts[:2]!r}; assert len(model.classify(texts)) == len(model.explain(texts)) == 2"
    assert loaded_by(f"{load}; {ask}", str(tmp_path / "m")) == []


def test_texts_are_labelled_from_the_command_line_without_torch_or_pyarrow(model_folder: Path) -> None:
    code = "from textcnn.cli.main import cli; cli.main(sys.argv[1:], standalone_mode=False)"
    assert loaded_by(f"import sys; {code}", "predict", str(model_folder), "parcel") == []


def test_the_core_needs_no_more_than_pyproject_says(model_folder: Path) -> None:
    """With everything of the train, serve and client extras out of reach."""
    absent = ("torch", "pyarrow", "sklearn", "scipy", "gensim", "fastapi", "httpx")
    code = (
        f"import sys\nfor name in {absent!r}: sys.modules[name] = None\n"
        "import textcnn\nprint(textcnn.TextClassifier.load(sys.argv[1]).predict(['my parcel'])[0])\n"
        "from textcnn.cli.main import cli\ncli.main(['predict', *sys.argv[1:], 'my parcel'], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model_folder)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2


def test_every_option_of_every_command_has_help() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"textcnn {name} {parameter.opts}"


def commands(text: str) -> list[list[str]]:
    """The textcnn commands of a block of shell lines."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.strip().startswith("textcnn ")]


EXAMPLES = [command for block in blocks("") for command in commands(block)]


@pytest.mark.parametrize("command", EXAMPLES, ids=" ".join)
def test_commands_of_the_pages_are_understood(command: list[str]) -> None:
    check_arguments(command)


def test_commands_of_every_help_are_understood() -> None:
    context = click.Context(cli)
    found = commands(cli.epilog or "")
    for name in cli.list_commands(context):
        found += commands(cli.get_command(context, name).epilog)
    assert len(found) >= 10
    for command in found:
        check_arguments(command)


def check_arguments(command: list[str]) -> None:
    """Parses, and does no more."""
    until_pipe = command[: next((i for i, part in enumerate(command) if part in ("|", ">")), None)]
    name, arguments = until_pipe[0], until_pipe[1:]
    parsed = cli.get_command(click.Context(cli), name)
    assert parsed is not None, name
    parsed.make_context(name, arguments)


def test_there_are_examples_to_check() -> None:
    assert len(EXAMPLES) >= 5
    assert blocks("python")


def test_scripts_that_the_readme_names_exist() -> None:
    for script in set(re.findall(r"scripts/\w+", README)):
        assert (ROOT / script).is_file(), script
    for path in set(re.findall(r"\b(?:docs|examples|tests)/[\w./]+\w", README)):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("code", [code for code in blocks("python") if SERVED not in code])
def test_python_of_the_pages_runs(code: str, model_folder: Path) -> None:
    exec(code.replace("models/support", str(model_folder)), {})


def test_python_of_the_pages_that_asks_the_service_runs(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [code for code in blocks("python") if SERVED in code]
    assert codes
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("where is my parcel?\ncancel it\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    flags = ["--model", str(model_folder), "--port", str(port), "--feedback", "feedback"]
    service = subprocess.Popen([sys.executable, "-m", "service", *flags], stderr=subprocess.DEVNULL)

    def ready() -> bool:
        assert service.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=PATIENCE):
                return True
        except OSError:
            return False

    try:
        until(ready, "the service")
        for code in codes:
            exec(code.replace(SERVED, f"http://127.0.0.1:{port}"), {})
    finally:
        service.terminate()
        assert service.wait(PATIENCE) == 0
