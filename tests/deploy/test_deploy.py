"""The dashboard and the alerts ask for nothing that is not shown; what starts the service gives it few rights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics, VersionMetrics
from service.server import GRACEFUL_SHUTDOWN_SECONDS, USER_ERROR
from service.settings import Settings
from textcnn.types import LabelScore, Prediction

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = ["grafana.json", "alerts.yaml"]


def shown() -> dict[str, set[str]]:
    """Every series that a service that did everything shows, with its labels."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        if names := getattr(metric, "_labelnames", ()):
            metric.labels(*names)
    series = VersionMetrics(metrics, "m", "1", ["a"])
    series.expect({"expected": {"texts": 1, "labels": {"a": 1}, "unlabelled": 0, "confidence": [1] + [0] * 19}})
    series.predicted([Prediction((LabelScore("a", 0.5),))] * 1000)
    series.keep_recent()
    samples = [
        sample for family in text_string_to_metric_families(metrics.exposition().decode()) for sample in family.samples
    ]
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_series_and_label_exists(file: str) -> None:
    text = (DEPLOY / file).read_text()
    series = shown()
    names = set(re.findall(r"\btextcnn_[a-z0-9_]+", text))
    assert names
    # in words, a histogram goes by its name alone
    assert names <= {*series, *(name.removesuffix("_bucket") for name in series)}
    for name, labels in re.findall(r"\b(textcnn_\w+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)=~?\\?\"", labels)) <= series[name], (name, labels)
    for labels, name in re.findall(r"by \(([\w, ]+)\) \((?:rate|increase)?\(?(textcnn_\w+)", text):
        assert set(labels.split(", ")) <= series[name], (name, labels)


def test_every_series_of_ours_is_on_the_dashboard() -> None:
    text = (DEPLOY / "grafana.json").read_text()
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in shown() if "textcnn" in name}
    assert {name for name in families if name not in text} == set()


def test_the_dashboard_is_json_with_panels_that_do_not_overlap() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels) >= 10
    assert len({panel["id"] for panel in panels}) == len(panels)


SETTINGS = {f"TEXTCNN_{name.upper()}" for name in Settings.model_fields}


def compose() -> dict[str, Any]:
    """Read as compose reads it: YAML 1.2 has no `yes`, and a port is a string."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_compose_file_sets_what_is_there_and_mounts_what_it_names() -> None:
    (service,) = compose()["services"].values()
    # in comments too: they are to be taken away
    named = set(re.findall(r"\bTEXTCNN_[A-Z_]+", (DEPLOY / "compose.yaml").read_text()))
    assert named <= SETTINGS
    assert all(type(value) is str for value in service["environment"].values())
    sources = {target: source for source, target in (volume.split(":")[:2] for volume in service["volumes"])}
    assert sources[service["environment"]["TEXTCNN_FEEDBACK"]] in compose()["volumes"]
    assert (DEPLOY / sources["/models"]).resolve() == DEPLOY.parent / "models"
    assert (DEPLOY / service["build"]["context"] / "Dockerfile").is_file()


def test_the_compose_file_lets_nobody_in_from_elsewhere_and_gives_no_rights() -> None:
    (service,) = compose()["services"].values()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    dockerfile = (DEPLOY.parent / "Dockerfile").read_text()
    assert f"USER {service['user']}\n" in dockerfile
    # where it writes is its own in the image, from which a named volume takes its owner
    assert "--owner=10001 --group=10001 /feedback" in dockerfile


def unit() -> dict[str, list[str]]:
    """Directives of the section Service, in order."""
    section = (DEPLOY / "textcnn.service").read_text().partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_starts_the_service_with_settings_that_are_there_and_writes_where_it_may() -> None:
    given = unit()
    _, *flags = given["ExecStart"][0].split()
    assert flags == ["-P", "-m", "service"]
    environment = dict(part.split("=", 1) for line in given["Environment"] for part in line.split())
    assert {name for name in environment if name.startswith("TEXTCNN_")} <= SETTINGS
    state = f"/var/lib/{given['StateDirectory'][0]}/"
    assert all(environment[name].startswith(state) for name in ("TEXTCNN_MODELS", "TEXTCNN_FEEDBACK"))
    assert given["ProtectSystem"] == ["strict"] and given["NoNewPrivileges"] == ["yes"]
    assert given["User"] != ["root"] and given["CapabilityBoundingSet"] == [""]


def test_what_ends_the_service_waits_for_what_is_under_way() -> None:
    needed = Settings.model_fields["drain_seconds"].default + GRACEFUL_SHUTDOWN_SECONDS
    (service,) = compose()["services"].values()
    assert int(service["stop_grace_period"].removesuffix("s")) > needed
    assert int(unit()["TimeoutStopSec"][0]) > needed
    assert unit()["RestartPreventExitStatus"] == [str(USER_ERROR)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "textcnn.service").read_text()
    (tmp_path / "textcnn.service").write_text(text.replace("/opt/textcnn/bin/python", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "textcnn.service")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    # of other units of this machine it may have something to say as well
    assert [line for line in found.stderr.splitlines() if "textcnn.service" in line] == []
