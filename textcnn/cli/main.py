"""The command `textcnn` and the names of its commands."""

from __future__ import annotations

import errno
import io
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

import click

from textcnn.errors import MissingExtraError, TextCNNError

COMMANDS = {
    "check": "Look for what is wrong with a table of texts and labels.",
    "train": "Train a model on a table of texts and labels.",
    "pretrain": "Learn an encoder from texts without labels.",
    "vectors": "Train word vectors on texts of your own.",
    "presets": "List named settings for training, or show one.",
    "learning-rate": "Find a learning rate for a table of texts and labels.",
    "evaluate": "Measure a model on labelled texts.",
    "report": "Write a page on how good a model is and where it fails.",
    "calibrate": "Fit a model's probabilities, and when it should not answer.",
    "runs": "List training runs, or show what differs between some.",
    "predict": "Label texts from the command line, a file or standard input.",
    "explain": "Show which words of a text make a label.",
    "summarize": "Keep the sentences that carry the label.",
    "serve": "Answer over HTTP.",
    "inspect": "Show the layers, vocabulary, labels and figures of a model.",
}

EPILOG = """\b
Examples:
  textcnn train examples/support.csv --output models/support/2
  textcnn predict models/support "where is my parcel?"
  textcnn serve --model support

Shell completion: eval "$(_TEXTCNN_COMPLETE=bash_source textcnn)"   (also zsh_source, fish_source)
"""


# Threads of torch that wait for one another without a pause take the core that the other one needs, on a busy machine:
# training is then ten times slower, and never faster. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# What the core does without, by the names under which it is imported.
TRAIN_EXTRA = ("gensim", "pyarrow", "scipy", "sklearn", "torch")


class Commands(click.Group):
    """Loads the module of a command when it is used, not when its name is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"textcnn.cli.{name}"), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from textcnn.registry import nearest

            raise click.UsageError(f"there is no command {args[0]!r}{nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # our reader went away (textcnn predict ... | head): no error, but nothing may be flushed any more
            _silence_stdout()
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="textcnn", prog_name="textcnn")
@click.option("-v", "--verbose", is_flag=True, help="Say more, e.g. which engine runs a model and why.")
def cli(verbose: bool) -> None:
    """Train a sentence CNN on a CSV and put it behind an HTTP endpoint."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)


def _silence_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_streams() -> None:
    """A stream that was closed at the start is None to Python, and its number free for the next file that is opened."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8", closefd=False))


@contextmanager
def _whole_output() -> Iterator[None]:
    """With PYTHONUNBUFFERED, Python takes no notice where a disk has room for a part only of what is written."""
    given = sys.stdout
    if not isinstance(getattr(given, "buffer", None), io.RawIOBase):
        yield
        return
    sys.stdout = open(given.fileno(), "w", 1, given.encoding, given.errors, closefd=False)  # line by line
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = given


class _Messages(io.TextIOWrapper):
    """What is told on standard error. Where nobody takes it any more it goes nowhere, and the work goes on."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


@contextmanager
def _messages() -> Iterator[None]:
    given = sys.stderr
    binary = open(given.fileno(), "wb", closefd=False)
    sys.stderr = _Messages(binary, given.encoding, given.errors, line_buffering=True)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = given


def _remember_interrupts() -> list[int]:
    """A list that holds each SIGINT once it came; it raises KeyboardInterrupt as ever."""
    came: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in a script's background
        signal.signal(signal.SIGINT, remember)
    return came


def _of_dashes(option: str) -> str:
    """What to write where something that begins with a dash was taken for an option; click knows its first letter."""
    meant = next((given for given in sys.argv[1:] if given.startswith(option) and len(given) > 2), "")
    if os.path.lexists(meant):
        return f"A file whose name begins with a dash is written {shlex.quote('./' + meant)}."
    if meant.startswith("--") or not meant:
        return ""
    return f"A text that begins with a dash goes to the end, behind --: ... -- {shlex.quote(meant)}"


def main() -> None:
    """Run a command. A mistake of the user ends with its message and exit code 2; Ctrl-C with 130."""
    interrupts = _remember_interrupts()
    _open_closed_streams()
    with _messages():
        code = _run(interrupts)
    sys.exit(code)


def _run(interrupts: list[int]) -> int:
    try:
        with _whole_output():
            code = cli.main(prog_name="textcnn", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and (said := _of_dashes(error.option_name)):
            click.echo(said, err=True)
        code = 2
    except TextCNNError as error:
        click.echo(f"textcnn: {error}", err=True)
        code = 2
    except ModuleNotFoundError as error:
        package = str(error.name).split(".")[0]
        if package not in TRAIN_EXTRA:
            raise
        click.echo(f"textcnn: {MissingExtraError('this command', package=package, extra='train')}", err=True)
        code = 2
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        click.echo(f"textcnn: cannot write {error.filename or 'the output'}: {error.strerror}", err=True)
        code = 2
        _silence_stdout()  # what it still holds back cannot be written either
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except Exception:
        if not interrupts:
            raise
        click.echo("interrupted", err=True)  # C code that imports makes an ImportError of it
        code = 130
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
