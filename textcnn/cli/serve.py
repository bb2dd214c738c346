"""textcnn serve: starts `python -m service`. It imports nothing of it."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from textcnn.errors import MissingExtraError

EPILOG = """\b
Examples:
  textcnn serve
  textcnn serve --model support/1 --port 8080
  curl -s localhost:8000/v1/classify -H 'content-type: application/json' -d '{"text": "where is my parcel?"}'

All flags are those of `python -m service`; see them with: textcnn serve -- --help
"""


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS]...")
def serve(arguments: tuple[str, ...]) -> None:
    """Answer over HTTP with the models in ./models (or those that ship with the project)."""
    for package in ("fastapi", "uvicorn", "pydantic_settings"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("serving", package=package, extra="serve")
    # -P: what lies in the current folder, a service.py perhaps, must not be run
    command = [sys.executable, "-P", "-m", "service", *arguments]
    # replaces this process, so that signals and the exit code are the service's own
    os.execv(sys.executable, command)
