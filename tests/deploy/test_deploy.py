"""The dashboard and the alerts ask for nothing that the service does not show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics, VersionMetrics
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
