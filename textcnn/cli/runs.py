"""textcnn runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from textcnn.cli.common import runs_option, tell

EPILOG = """\b
Examples:
  textcnn runs
  textcnn runs reviews/1 reviews/2
  textcnn runs --json | jq '.[] | select(.status == "done") | .metrics.validation.accuracy'

Every textcnn train is recorded in runs/<name>/<version>/run.json, or in the folder that --runs or TEXTCNN_RUNS names:
settings, figures, versions of packages, git revision, and the SHA-256 of its data. With TensorBoard installed, its
curves are in the folder beside: tensorboard --logdir runs
"""
FIGURES = (
    ("validation accuracy", ("validation", "accuracy")),
    ("validation loss", ("validation", "loss")),
    ("test accuracy", ("test", "accuracy")),
    ("test macro F1", ("test", "macro_f1")),
    ("test loss", ("test", "loss")),
    ("best epoch", ("best_epoch",)),
)


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_option
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def runs(names: tuple[str, ...], runs_folder: Path, as_json: bool) -> None:
    """List the training runs, or show what differs between several RUNs (reviews/1 reviews/2)."""
    from textcnn.errors import ReadError
    from textcnn.registry import nearest
    from textcnn.train.record import read_records

    if not runs_folder.is_dir():
        raise ReadError(f"there is no folder {runs_folder}; textcnn train makes it where it is called")
    records = {record["name"]: record for record in read_records(runs_folder, doubt=lambda said: tell([said]))}
    for name in names:
        if name not in records:
            raise ReadError(
                f"there is no run {name!r} in {runs_folder}, textcnn runs lists them{nearest(name, records)}"
            )
    chosen = [records[name] for name in names] if names else list(records.values())
    if as_json:
        click.echo(json.dumps(chosen, ensure_ascii=False))
        return
    if not chosen:
        click.echo(f"there is no run in {runs_folder}")
        return
    rows = _compared(chosen) if len(names) > 1 else _listed(chosen)
    for line in _aligned(rows):
        click.echo(line)
    if len(names) == 1:
        click.echo(json.dumps(chosen[0]["config"], ensure_ascii=False, indent=2))


def _listed(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    head = ["run", "started (UTC)", "status", "seconds", "validation", "test", "data"]
    return [
        head,
        *(
            [
                record["name"],
                record["started"][:16].replace("T", " "),
                record["status"],
                _shown(record.get("seconds")),
                _percent(_figure(record, ("validation", "accuracy"))),
                _percent(_figure(record, ("test", "accuracy"))),
                Path(record["files"]["data"]["path"]).name if "data" in record.get("files", {}) else "-",
            ]
            for record in records
        ),
    ]


def _compared(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Figures, then data, versions and settings where they differ."""
    rows = [["", *(str(record["name"]) for record in records)]]
    for name, path in FIGURES:
        values = [_figure(record, path) for record in records]
        if any(value is not None for value in values):
            rows.append(
                [name, *(_percent(v) if "loss" not in name and name != "best epoch" else _shown(v) for v in values)]
            )
    rows.append(["seconds", *(_shown(record.get("seconds")) for record in records)])
    facts = [{key: value for key, value in _flat(_facts(record))} for record in records]
    for key in sorted({key for found in facts for key in found}):
        values = [found.get(key) for found in facts]
        if any(value != values[0] for value in values):
            rows.append([key, *map(_shown, values)])
    return rows


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What may differ between runs and explain their figures."""
    files = record.get("files", {})
    return {
        "status": record["status"],
        "git": (record.get("git") or {}).get("revision", "")[:12],
        "packages": record.get("environment", {}).get("packages", {}),
        "files": {purpose: f"{Path(found['path']).name} {found['sha256'][:12]}" for purpose, found in files.items()},
        "in_memory": {purpose: found["sha256"][:12] for purpose, found in record.get("data", {}).items()},
        **record["config"],
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            yield from _flat({str(i): item for i, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _figure(record: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = record.get("metrics")
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, (int, float)) else None


def _percent(value: Any) -> str:
    return "-" if value is None else f"{value:.2%}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
