"""The targets, and a result as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Key of the JSON document: relation, figure. One fact, one place; docs/PERFORMANCE.md holds what was measured.
TARGETS: dict[str, tuple[str, float]] = {
    "engine_over_conv1d": (">=", 25.0),
    "bandwidth_share": (">=", 0.70),
    "strings_over_fasttext_bigrams": (">=", 1.0),
    "strings_over_fasttext_unigrams": ("stretch >=", 1.0),
    "strings_over_spacy_cnn": (">=", 40.0),
    "one_text_p50_us": ("<=", 40.0),
    "classify_over_empty_fastapi": (">=", 1.0),
    "stream_over_offline": (">=", 0.9),
    "p99_at_80_over_idle_p50": ("<=", 5.0),
    "overload_goodput_share": (">=", 0.95),
    "overload_5xx": ("<=", 0),
    "refused_p99_ms": ("<=", 10.0),
    "refused_without_retry_after": ("<=", 0),
    "overload_memory_growth": ("<=", 0.10),
    "overload_recovered_s": ("<=", 2.0),
    "reload_failed": ("<=", 0),
    "reload_mixed": ("<=", 0),
    "reload_memory_growth": ("<=", 0.05),
    "sigterm_failed": ("<=", 0),
    "sigterm_idle_exit_s": ("<=", 1.0),
    "kill9_failed_beyond_in_flight": ("<=", 0),
    "slow_sockets_open_after_deadline": ("<=", 0),
    "others_p99_ratio": ("<=", 2.0),
    "poison_answers_of_256": (">=", 255),
    "requests_over_litserve": (">=", 5.0),
    "requests_over_mlserver": (">=", 2.5),
    "random_paths_new_series": ("<=", 0),
    "million_words_peak_mb": ("<=", 2000.0),
    "explain_over_predict": ("<=", 1.5),
    "exact_share": (">=", 1.0),
    "summary_agreement": (">=", 0.9),
    "load_ms": ("<=", 150.0),
    "first_answer_s": ("<=", 0.8),
    "resident_mb": ("<=", 120.0),
    "epoch_over_reference": (">=", 10.0),
    "accuracy_delta_points": ("at least, within its standard error,", 0.0),
    "step_400k_over_20k": ("<=", 1.3),
    "trec_job_s": ("<=", 12.0),
    "mr_job_s": ("<=", 20.0),
    "cpu_over_lstm": (">=", 2.0),
    "cpu_over_loop": (">=", 8.0),
    "conv_max_over_torch": (">=", 5.0),
    "scan_bandwidth_share": (">=", 0.70),
    "qrnn_over_cudnn_lstm": (">=", 10.0),
    "ece_mr": ("<=", 0.02),
    "ece_agnews": ("<=", 0.02),
    "coverage_gap": ("<=", 0.01),
    "mislabelled_precision": (">=", 0.80),
    "doctor_s": ("<=", 30.0),
}
COMMON = ("benchmark", "quick", "machine", "limits", "missing", "table")


def met(key: str, result: Mapping[str, Any]) -> bool | None:
    """Whether a figure reaches its target; None where it was not measured."""
    relation, target = TARGETS[key]
    value = result.get(key)
    if value is None:
        return None
    if relation.startswith("at least"):
        error = result.get("accuracy_standard_error")
        return None if error is None else bool(value >= -error)
    return bool(value >= target if relation.endswith(">=") else value <= target)


def print_report(result: Mapping[str, Any]) -> None:
    """Targets first, then every raw figure, then what limits them and what could not be measured."""
    if result.get("quick"):
        print("--quick: few rounds, small parts; these figures show that it runs, no more\n")
    if machine := result.get("machine"):
        print(", ".join(f"{key} {value}" for key, value in machine.items()), end="\n\n")
    keys = [key for key in TARGETS if key in result]
    if keys:
        print(f"{'figure':<34}{'measured':>12}  target")
    for key in keys:
        relation, target = TARGETS[key]
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[met(key, result)]
        print(f"{key:<34}{_show(result[key]):>12}  {relation} {target:g}: {verdict}")
    raw = [(key, value) for key, value in result.items() if key not in TARGETS and key not in COMMON]
    print()
    for key, value in _flat(raw):
        print(f"{key:<50}{_show(value):>14}")
    if table := result.get("table"):
        print(f"\n{table}")
    for title, notes in (("what limits it", result.get("limits")), ("not measured", result.get("missing"))):
        if notes:
            print(f"\n{title}")
            for key, note in notes.items():
                print(f"- {key}: {note}")
    print()


def _flat(items: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in items:
        if isinstance(value, Mapping):
            yield from _flat(value.items(), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(map(_show, value))
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
