from __future__ import annotations

import pytest

from service.drift import drift, expected_counts
from service.metrics import Metrics, VersionMetrics
from textcnn.types import LabelScore, Prediction

EXPECTED = {"texts": 1000, "labels": {"a": 500, "b": 500}, "unlabelled": 0, "confidence": [0] * 10 + [100] * 10}


def told(metrics: Metrics, of: str) -> dict[str, float]:
    """What /metrics says of drift."""
    return {
        line.split("{")[0]: float(line.split()[-1])
        for line in metrics.exposition().decode().splitlines()
        if line.startswith("textcnn_drift_psi") and f'of="{of}"' in line
    }


def answers(label: str, probability: float, count: int) -> list[Prediction]:
    return [Prediction((LabelScore(label, probability),))] * count


def test_psi_is_that_of_the_textbook():
    found = drift({"x": 700_000, "y": 300_000}, {"x": 500_000, "y": 500_000})
    # (0.7 - 0.5) ln(0.7 / 0.5) + (0.3 - 0.5) ln(0.3 / 0.5)
    assert found.psi == pytest.approx(0.1694596, abs=1e-5)
    assert found.by_chance == pytest.approx(2e-6)


def test_a_bin_that_one_of_both_lacks_gives_a_number_and_too_few_texts_none():
    assert drift({"new": 500.0}, {"old": 500.0}).psi > 5
    assert drift({"x": 199.0}, {"x": 500.0}) is None
    assert drift({"x": 500.0}, {}) is None


@pytest.mark.parametrize("figures", [{}, {"expected": None}, {"expected": {**EXPECTED, "texts": 0}}])
def test_a_model_that_keeps_nothing_shows_no_drift(figures):
    assert expected_counts(figures) is None
    metrics = Metrics()
    series = VersionMetrics(metrics, "m", "1", ["a", "b"])
    series.expect(figures)
    series.predicted(answers("a", 0.9, 1000))
    series.keep_recent()
    assert told(metrics, "label") == {}
    assert "textcnn_recent" not in metrics.exposition().decode()


def test_drift_is_small_for_texts_as_before_large_for_others_and_old_ones_fade():
    metrics = Metrics()
    series = VersionMetrics(metrics, "m", "1", ["a", "b"])
    series.expect({"expected": EXPECTED})
    usual = [one for step in range(100) for label in "ab" for one in answers(label, 0.505 + step / 200, 5)]
    series.predicted(usual)
    series.keep_recent()
    assert told(metrics, "label")["textcnn_drift_psi"] < 0.01
    assert told(metrics, "confidence")["textcnn_drift_psi"] < 0.05
    assert 0 < told(metrics, "label")["textcnn_drift_psi_by_chance"] < 0.01
    for _ in range(50):
        series.predicted(answers("a", 0.52, 1000))
        series.keep_recent()
    assert told(metrics, "label")["textcnn_drift_psi"] > 1
    assert told(metrics, "confidence")["textcnn_drift_psi"] > 1
    for _ in range(100):
        series.predicted(usual)
        series.keep_recent()
    assert told(metrics, "label")["textcnn_drift_psi"] < 0.01
    series.forget()
    assert told(metrics, "label") == {}


def test_drift_is_of_all_processes_together(tmp_path):
    import json
    import os
    import subprocess
    import sys
    from pathlib import Path

    code = f"""
import sys
from service.metrics import Metrics, VersionMetrics
from textcnn.types import LabelScore, Prediction
metrics = Metrics()
series = VersionMetrics(metrics, "m", "1", ["a", "b"])
series.expect({{"expected": {EXPECTED!r}}})
series.predicted([Prediction((LabelScore(sys.argv[1], 0.75),))] * 500)
series.keep_recent()
import json
print(json.dumps([line for line in metrics.exposition().decode().splitlines() if "of=\\"label\\"" in line]))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    said = [
        subprocess.run([sys.executable, "-c", code, label], env=environment, capture_output=True, text=True, check=True)
        for label in "ab"
    ]
    alone, together = (
        next(float(line.split()[-1]) for line in json.loads(one.stdout) if line.startswith("textcnn_drift_psi{"))
        for one in said
    )
    assert alone > 1, "all of one label"
    assert together < 0.01, "half and half, as expected"
