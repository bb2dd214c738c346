"""Loading a model, the first answer of a new process, and the memory of the service.

What limits each. Loading reads the weights and hashes every file, then builds the vocabulary; rows of the table are
computed when their words are first met. The first answer is mostly imports: numpy, pydantic and tokenizers, but not
torch. The service adds uvicorn, FastAPI and its schema.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.data import ROOT, demo_model, mr_model, read_csv
from benchmarks.machine import interleave, resident_mb, say
from textcnn import TextClassifier

LIMITS = {
    "load_ms": "hashing and reading the weights; building the vocabulary",
    "first_answer_s": "imports; see slowest_imports_ms",
    "resident_mb": "the interpreter and its imports; then the table rows of words met so far, beside the embedding",
}
FIRST_ANSWER = """
import sys
from textcnn import TextClassifier
print(TextClassifier.load(sys.argv[1]).predict(["a film that is never quite as good as its idea"])[0], flush=True)
assert "torch" not in sys.modules
"""
# What a process pays before it does anything, each in a new one; the bare interpreter first.
IMPORTS = ("", "numpy", "tokenizers", "pydantic", "textcnn", "textcnn.classifier", "service.app", "torch")
REQUESTS = 1000
READY_WITHIN = 60.0  # seconds


def run(*, data: Path, quick: bool = False) -> dict[str, Any]:
    folder = mr_model(data, epochs=1 if quick else 4)
    about = machine.describe()
    rounds = 3 if quick else 15
    say("loading ...")
    seconds = interleave({"load": lambda: TextClassifier.load(folder)}, rounds)
    engine = TextClassifier.load(folder).engine_name
    say("new processes ...")
    answers = [first_answer(folder) for _ in range(rounds + 1)][1:]  # the first fills the page cache
    return {
        "load_ms": seconds["load"] * 1000,
        "first_answer_s": statistics.median(answers),
        **service_memory(100 if quick else REQUESTS),
        "engine": engine,
        "artefact_mb": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
        "imports": imports(3 if quick else 7),
        "slowest_imports_ms": slowest_imports(folder),
        "limits": LIMITS,
        "machine": about,
    }


def first_answer(folder: Path) -> float:
    """Seconds from starting a Python process to its first label."""
    started = time.perf_counter()
    command = [sys.executable, "-c", FIRST_ANSWER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"the process that was to answer ended with code {process.returncode}")
    return seconds


def imports(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds and MB of a process that imports one package and ends."""
    script = "import sys, importlib; sys.argv[1] and importlib.import_module(sys.argv[1])"
    asks = script + "; print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')))"

    def process(name: str, code: str = script) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, name], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    seconds = interleave({name: partial(process, name) for name in IMPORTS}, rounds)
    return {
        name or "nothing": {"seconds": seconds[name], "mb": int(process(name, asks).split()[1]) * 1024 / 1e6}
        for name in IMPORTS
    }


def slowest_imports(folder: Path, count: int = 8) -> dict[str, float]:
    """The modules whose own code takes longest on the way to the first answer, ms."""
    command = [sys.executable, "-X", "importtime", "-c", FIRST_ANSWER, str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = re.findall(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)", done.stderr)
    slowest = sorted(((int(micros) / 1000, name) for micros, name in found), reverse=True)[:count]
    return {name: millis for millis, name in slowest}


def service_memory(requests: int) -> dict[str, Any]:
    """Resident memory of `python -m service` with the demo model: ready, and after many different requests."""
    say(f"the service, {requests:,} requests ...")
    model = demo_model()
    texts, _ = read_csv(ROOT / "examples" / "support.csv")
    with service(model) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        ready = resident_mb(process)
        started = time.perf_counter()
        for number in range(requests):
            ask(connection, texts[number % len(texts)])
        seconds = time.perf_counter() - started
        after, peak = resident_mb(process), resident_mb(process, peak=True)
        connection.close()
    return {
        "resident_mb": after,
        "service": {
            "model": "/".join(model.parts[-2:]),
            "requests": requests,
            "ready_mb": ready,
            "peak_mb": peak,
            "one_after_the_other_per_second": requests / seconds,
        },
    }


@contextmanager
def service(model: Path) -> Iterator[tuple[int, int]]:
    """Its process id and port, from when it is ready until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "service", "--model", str(model), "--port", str(port), "--log-level", "warning"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            _wait_until_ready(process, port)
            yield process.pid, port
        except Exception:
            log.seek(0)
            say(log.read().decode(errors="replace"))
            raise
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            process.wait(20)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise RuntimeError("the service did not become ready")


def ask(connection: http.client.HTTPConnection, text: str) -> None:
    connection.request("POST", "/v1/classify", json.dumps({"text": text}), {"content-type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the service answered {answer.status}: {body[:200]!r}")
