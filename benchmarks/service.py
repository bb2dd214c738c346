"""The service under load: python -m benchmarks service ROW ... (all rows without one). Ratios within one run.

The server has one core, the load generator another (benchmarks/load.py). What limits each row stands beside it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.data import ROOT, demo_model, mr_model, read_csv
from benchmarks.load import OPEN_SECONDS, Load, generate, start
from benchmarks.machine import go_first, pauses, resident_mb, say
from benchmarks.peer_servers import peers
from benchmarks.report import TARGETS
from service.keys import add_key

READY_WITHIN = 120.0  # seconds; MLServer on a busy machine takes its time
CONNECTIONS = 32
WARM_RELOADS = 5  # memory is compared with what it was after so many
STREAMS = 3  # of each round, and as many offline runs: one is over in a fifth of a second
BATCH = 256  # texts of a request where the row is about work, not about requests

EMPTY_FASTAPI = """
import sys, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

class Request(BaseModel):
    text: str
    top_k: int = 1

class Label(BaseModel):
    label: str
    probability: float

class Response(BaseModel):
    model: str
    version: str
    request_id: str
    predictions: list[Label]

app = FastAPI()

@app.post("/v1/classify")
async def classify(request: Request) -> Response:
    return Response(model="m", version="1", request_id="1", predictions=[Label(label="pos", probability=0.5)])

@app.get("/health/ready")
async def ready() -> str:
    return "ready"

uvicorn.run(app, port=int(sys.argv[1]), http="httptools", loop="uvloop", log_level="warning", access_log=False)
"""
# The service, but the model fails on a text that says so.
POISONED = """
import sys, textcnn
def failing(method):
    def tried(self, texts, **options):
        if "poison" in texts:
            raise RuntimeError("poison")
        return method(self, texts, **options)
    return tried
for name in ("classify", "rank"):
    setattr(textcnn.TextClassifier, name, failing(getattr(textcnn.TextClassifier, name)))
from service.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

# the figures of the overload row that are targets, and those of each run whose largest they are
OVERLOAD = {
    "overload_5xx": "5xx",
    "refused_p99_ms": "refused_p99_ms",
    "refused_without_retry_after": "without_retry_after",
    "overload_memory_growth": "memory_growth",
    "overload_recovered_s": "recovered_s",
}

LIMITS = {
    "classify_over_empty_fastapi": "uvicorn's own work on a request is about half of either",
    "stream_over_offline": "beside the model (82 %) and the tokens (8 %): sockets, JSON in and out",
    "p99_at_80_over_idle_p50": "pauses of the machine (of empty loops: pauses_of_the_machine), felt five times as long",
    "overload_goodput_share": "receiving a body and saying no; at 10x nine of ten requests are refused",
}


class Rows:
    """Each method is a row: its name is that of its main figure."""

    def __init__(self, data: Path, *, quick: bool) -> None:
        self.quick = quick
        self.model = mr_model(data, epochs=1 if quick else 4)
        self.texts = read_csv(data / "mr" / "all.csv")[0]
        self.server_core, self.load_core = sorted(os.sched_getaffinity(0))[-1], sorted(os.sched_getaffinity(0))[0]
        self.scratch = Path(tempfile.mkdtemp(prefix="textcnn-benchmark-"))
        self.key = add_key(self.scratch / "keys", "load", ["infer", "admin", "metrics"], 1e8)
        self.one = [json.dumps({"text": text}) for text in self.texts[:2000]]
        self.many = [json.dumps({"texts": self.texts[begin : begin + BATCH]}) for begin in range(0, 20 * BATCH, BATCH)]

    def seconds(self, full: float) -> float:
        return min(full, 3.0) if self.quick else full

    def load(self, port: int, **options: Any) -> Load:
        headers = {"authorization": f"Bearer {self.key}"}
        given = {"path": "/v1/classify", "bodies": self.one, "connections": CONNECTIONS, "seconds": self.seconds(5)}
        return Load(port=port, core=self.load_core, headers=headers, **{**given, **options})

    @contextmanager
    def serving(self, *flags: str, model: str = "", core: bool = True) -> Iterator[Server]:
        flags = ("--model", model or str(self.model), "--keys", str(self.scratch / "keys"), *flags)
        with running([sys.executable, "-m", "service", *flags], self.server_core if core else None) as server:
            yield server

    @contextmanager
    def empty_fastapi(self) -> Iterator[Server]:
        script = self.scratch / "empty_fastapi.py"
        script.write_text(EMPTY_FASTAPI)
        with running([sys.executable, str(script)], self.server_core) as server:
            yield server

    def classify_over_empty_fastapi(self) -> dict[str, Any]:
        rates: dict[str, list[float]] = {"ours": [], "empty": []}
        rounds = 2 if self.quick else 7
        with self.serving() as ours, self.empty_fastapi() as empty:
            for server in (ours, empty):
                generate(self.load(server.port, seconds=1.0))
            for number in range(rounds):
                # each first in every other round: what is warm or busy then meets both alike
                for name, server in (("ours", ours), ("empty", empty))[:: 1 if number % 2 else -1]:
                    result = generate(self.load(server.port))
                    _expect_all_good(result)
                    rates[name].append(result["per_second"])
                say(f"  {rates['ours'][-1]:,.0f} and {rates['empty'][-1]:,.0f} requests a second")
        ratios = [mine / its for mine, its in zip(rates["ours"], rates["empty"], strict=True)]
        return {
            "classify_over_empty_fastapi": statistics.median(ratios),
            "classify_per_second": statistics.median(rates["ours"]),
            "empty_fastapi_per_second": statistics.median(rates["empty"]),
        }

    def stream_over_offline(self) -> dict[str, Any]:
        texts = self.texts if self.quick else self.texts * 5
        code = (
            "import json, sys, time; from textcnn import TextClassifier\n"
            f"model = TextClassifier.load({str(self.model)!r}, threads=1); texts = json.load(sys.stdin)\n"
            f"model.predict(texts)\nfor _ in range({STREAMS}):\n"
            "    began = time.perf_counter(); model.predict(texts); print(len(texts) / (time.perf_counter() - began))"
        )
        body = "".join(json.dumps(text) + "\n" for text in texts).encode()
        rates: dict[str, list[float]] = {"offline": [], "stream": []}
        with self.serving() as server:
            self._stream(server.port, body, len(texts))
            for _ in range(2 if self.quick else 7):
                done = subprocess.run(
                    ["taskset", "-c", str(self.server_core), sys.executable, "-c", code],
                    input=json.dumps(texts), capture_output=True, text=True, check=True, cwd=ROOT,
                )  # fmt: skip
                rates["offline"].append(statistics.median(map(float, done.stdout.split())))
                seconds = [self._stream(server.port, body, len(texts)) for _ in range(STREAMS)]
                rates["stream"].append(len(texts) / statistics.median(seconds))
                say(f"  {rates['stream'][-1]:,.0f} and {rates['offline'][-1]:,.0f} texts a second")
        ratios = [mine / its for mine, its in zip(rates["stream"], rates["offline"], strict=True)]
        return {
            "stream_over_offline": statistics.median(ratios),
            "stream_texts_per_second": statistics.median(rates["stream"]),
            "offline_texts_per_second": statistics.median(rates["offline"]),
        }

    def _stream(self, port: int, body: bytes, lines: int) -> float:
        """Seconds from the first byte sent to the last received; a thread writes while this one reads."""
        head = (
            f"POST /v1/classify/stream HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {self.key}\r\n"
            f"connection: close\r\ncontent-type: application/x-ndjson\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port)) as connection:
            began = time.perf_counter()
            writer = threading.Thread(target=connection.sendall, args=(head.encode() + body,))
            writer.start()
            parts = []
            while part := connection.recv(1 << 20):
                parts.append(part)
            seconds = time.perf_counter() - began
            writer.join()
        received = b"".join(parts).count(b'{"line":')
        if received != lines:
            raise RuntimeError(f"{lines} lines went in, {received} came back")
        return seconds

    def saturation(self, load: Load) -> float:
        """Good answers a second, as fast as they come; the median of three runs."""
        generate(replace(load, rate=None, seconds=1.0))
        runs = [generate(replace(load, rate=None, seconds=self.seconds(4))) for _ in range(1 if self.quick else 3)]
        return float(statistics.median(run["per_second"] for run in runs))

    def p99_at_80_over_idle_p50(self) -> dict[str, Any]:
        """Beside it the same of an endpoint that does nothing: what the machine and uvicorn have a part in."""
        found: list[tuple[float, float, float]] = []
        held_up: list[float] = []

        def at_80(load: Load) -> float:
            most = self.saturation(load)  # of each round anew: the machine is now faster, now slower
            busy = generate(replace(load, rate=0.8 * most, seconds=self.seconds(10)))
            _expect_all_good(busy)
            held_up.append(busy["held_up"])
            return float(busy["p99_ms"])

        with self.serving() as server, self.empty_fastapi() as empty:
            load = self.load(server.port)
            for _ in range(1 if self.quick else 7):
                idle = generate(replace(load, rate=50.0, connections=4))["p50_ms"]
                found.append((idle, at_80(load), at_80(replace(load, port=empty.port))))
                say("  idle p50 {:.2f} ms, p99 at 80 % {:.2f} ms, of the empty endpoint {:.2f} ms".format(*found[-1]))
        return {
            "p99_at_80_over_idle_p50": statistics.median(busy / idle for idle, busy, _ in found),
            "p99_at_80_over_empty_fastapi": statistics.median(busy / empty for _, busy, empty in found),
            "idle_p50_ms": statistics.median(idle for idle, _, _ in found),
            "p99_at_80_ms": statistics.median(busy for _, busy, _ in found),
            "empty_fastapi_p99_at_80_ms": statistics.median(empty for _, _, empty in found),
            "generator_held_up_share": statistics.median(held_up),
            "pauses_of_the_machine": pauses([self.load_core, self.server_core], self.seconds(10)),
        }

    def overload_goodput_share(self) -> dict[str, Any]:
        """Requests of BATCH texts: with one text each the sockets are the queue and nothing has to be refused."""
        figures: dict[str, Any] = {}
        runs: dict[str, dict[str, Any]] = {}
        with self.serving("--max-wait-ms", "100") as server:
            work = self.load(server.port, bodies=self.many)
            most = self.saturation(work)
            before = resident_mb(server.pid)
            for times in (2, 10):
                over = replace(work, rate=times * most, connections=256, seconds=self.seconds(60))
                result = generate(over)
                recovered = self._recovered(server.port)
                grown = resident_mb(server.pid) / before - 1
                after = self.saturation(work)  # the machine may have become slower or faster meanwhile
                statuses = result["statuses"]
                runs[f"at_{times}x"] = {
                    "goodput_share": result["per_second"] / statistics.mean((most, after)),
                    "5xx": sum(count for status, count in statuses.items() if status >= "500" or status == "0"),
                    "answered": statuses.get("200", 0),
                    "refused": statuses.get("429", 0),
                    "refused_p99_ms": result["refused_p99_ms"],
                    "refused_max_ms": result["refused_max_ms"],
                    "without_retry_after": result["without_retry_after"],
                    "memory_growth": grown,
                    "recovered_s": recovered,
                }
                say(f"  at {times} times saturation: {runs[f'at_{times}x']}")
                most = after
        figures["overload_goodput_share"] = min(run["goodput_share"] for run in runs.values())
        for name, key in OVERLOAD.items():
            figures[name] = max(run[key] or 0 for run in runs.values())
        return {**figures, **runs}

    def _recovered(self, port: int) -> float:
        """Seconds from the end of an overload until a request of one text is answered within 50 ms."""
        began = time.monotonic()
        while time.monotonic() < began + 30:
            sent = time.monotonic()
            status, _ = self._ask(port, "POST", "/v1/classify", self.one[0])
            if status == 200 and time.monotonic() - sent < 0.05:
                break
        return time.monotonic() - began

    def reload_failed(self) -> dict[str, Any]:
        models = self.scratch / "models"
        for version, folder in (("1", self.model), ("2", demo_model())):
            shutil.copytree(folder, models / "m" / version)
        labels = {version: _labels(models / "m" / version) for version in ("1", "2")}
        admin = free_port()
        reloads = 10 if self.quick else 200
        with self.serving("--models", str(models), "--admin-port", str(admin), model="m") as server:
            most = self.saturation(self.load(server.port))
            under_way = start(self.load(server.port, rate=0.7 * most, seconds=reloads * 10.0, keep=True))
            try:
                for number in range(reloads):
                    self._activate(admin, str(number % 2 + 1))
                    if number % 20 == 19:
                        say(f"  {number + 1} of {reloads} reloads")
                    if number == WARM_RELOADS:
                        time.sleep(2)
                        before = resident_mb(server.pid)
            finally:
                result = under_way.stop()
            # every text was seen since, so the tables are as full as they were
            time.sleep(2)
            after = resident_mb(server.pid)
        mixed = sum(
            count
            for seen, count in result["kept"].items()
            if seen.partition(":")[2] not in labels[seen.partition(":")[0]]
        )
        return {
            "reload_failed": result["failed"],
            "reload_mixed": mixed,
            "reloads": reloads,
            "requests": result["sent"],
            "reload_memory_growth": after / before - 1,
            "first_failure": result["first_failure"],
        }

    def _activate(self, port: int, version: str) -> None:
        """Live is `version` alone: the other is let go, so that every change loads."""
        body = json.dumps({"aliases": {"live": version}})
        status, answer = self._ask(port, "PUT", "/admin/models/m/plan", body)
        if status != 200:
            raise RuntimeError(f"activating version {version}: {status} {answer!r}")

    def _ask(self, port: int, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def sigterm_failed(self) -> dict[str, Any]:
        """Two services behind a balancer that asks /health/ready every 0.1 s; one is told to end under load."""
        with self.serving("--drain-seconds", "1") as first, self.serving("--drain-seconds", "1") as second:
            rate = 0.3 * generate(self.load(first.port))["per_second"]
            balanced = self.load(first.port, rate=rate, seconds=self.seconds(10))
            under_way = start(replace(balanced, ports=[first.port, second.port]))
            time.sleep(1.5)
            os.kill(first.pid, signal.SIGTERM)
            result = under_way.result()
            code = first.process.wait(20)
        with self.serving() as idle:
            began = time.perf_counter()
            os.kill(idle.pid, signal.SIGTERM)
            idle.process.wait(20)
            seconds = time.perf_counter() - began
        return {
            "sigterm_failed": result["failed"],
            "sigterm_exit_code": code,
            "sigterm_idle_exit_s": seconds,
            "requests": result["sent"],
            "first_failure": result["first_failure"],
        }

    def kill9_failed_beyond_in_flight(self) -> dict[str, Any]:
        """A worker of two is killed under load: what fails are the requests that it had in hand."""
        with self.serving("--workers", "2", core=False) as server:
            rate = 0.3 * generate(self.load(server.port))["per_second"]
            under_way = start(self.load(server.port, rate=rate, seconds=self.seconds(8)))
            time.sleep(1.5)
            victim = _children(server.pid)[0]
            os.kill(victim, signal.SIGKILL)
            result = under_way.result()
        # one request a connection: more than the connections cannot have been in flight
        return {
            "kill9_failed_beyond_in_flight": max(0, result["failed"] - CONNECTIONS),
            "failed": result["failed"],
            "connections": CONNECTIONS,
            "statuses": result["statuses"],
            "requests": result["sent"],
        }

    def slow_sockets_open_after_deadline(self) -> dict[str, Any]:
        count = 100 if self.quick else 1000
        deadline = 2.0
        ratios: list[float] = []
        still_open: list[int] = []
        failed = 0
        timeouts = ("--header-timeout", str(deadline), "--body-timeout", str(deadline))
        with self.serving(*timeouts) as server:
            rate = 0.3 * self.saturation(self.load(server.port))
            opening = 2 * count * OPEN_SECONDS
            steady = self.load(server.port, rate=rate, seconds=opening + deadline + 2)
            slow = replace(steady, slow=count, slow_seconds=deadline + 1)
            for _ in range(1 if self.quick else 5):
                alone, beside = (generate(load) for load in (steady, slow))
                still_open.append(beside["slow_open"])
                failed += beside["failed"]
                ratios.append(beside["p99_ms"] / alone["p99_ms"])
                say(f"  {still_open[-1]} still open; p99 {beside['p99_ms']:.2f} ms, {alone['p99_ms']:.2f} without")
        return {
            "slow_sockets_open_after_deadline": max(still_open),
            "sockets": 2 * count,
            "others_p99_ratio": statistics.median(ratios),
            "others_failed": failed,
        }

    def poison_answers_of_256(self) -> dict[str, Any]:
        script = self.scratch / "poisoned.py"
        script.write_text(POISONED)
        texts = [*self.texts[:100], "poison", *self.texts[100:255]]
        command = [sys.executable, str(script), "--model", str(self.model)]
        with running(command, self.server_core) as server:
            _, body = self._ask(server.port, "POST", "/v1/classify", json.dumps({"texts": texts}))
        answers = ["label" in prediction for prediction in json.loads(body)["predictions"]]
        if answers[100]:
            raise RuntimeError("the text that makes the model fail has an answer")
        return {"poison_answers_of_256": sum(answers)}

    def head_to_head(self) -> dict[str, Any]:
        """One text a request, each server alone on its core; for overload, twice its own rate over 256 connections."""
        figures: dict[str, Any] = {}
        others = peers(self.model, self.scratch)
        bodies = {name: [peer.body(text) for text in self.texts[:2000]] for name, peer in others.items()}
        for _ in range(1 if self.quick else 3):
            with self.serving() as server:
                self._measured(figures, "textcnn", self.load(server.port))
            for name, peer in others.items():
                port = free_port()
                with started(peer.command(port), port, self.server_core, peer.ready):
                    self._measured(figures, name, self.load(port, path=peer.path, bodies=bodies[name]))
        median = {
            name: {key: statistics.median(values) for key, values in found.items()} for name, found in figures.items()
        }
        ours = median["textcnn"]["per_second"]
        return {
            "requests_over_litserve": ours / median["litserve"]["per_second"],
            "requests_over_mlserver": ours / median["mlserver"]["per_second"],
            "head_to_head": median,
        }

    def _measured(self, figures: dict[str, Any], name: str, load: Load) -> None:
        generate(replace(load, seconds=1.0))
        most = generate(load)["per_second"]
        busy = generate(replace(load, rate=0.8 * most))
        over = generate(replace(load, rate=2 * most, connections=256))
        found = figures.setdefault(name, {"per_second": [], "p99_at_80_ms": [], "overload_goodput_share": []})
        found["per_second"].append(most)
        found["p99_at_80_ms"].append(busy["p99_ms"])
        found["overload_goodput_share"].append(over["per_second"] / most)

    def random_paths_new_series(self) -> dict[str, Any]:
        count = 500 if self.quick else 10_000
        choose = random.Random(0)
        letters = string.ascii_letters + string.digits + "/%.-_~"
        with self.serving() as server:

            def series() -> int:
                return len(re.findall(rb"^textcnn_", self._ask(server.port, "GET", "/metrics")[1], re.MULTILINE))

            for path in ("/metrics", "/nowhere"):
                self._ask(server.port, "GET", path)
            before = series()
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            for _ in range(count):
                connection.request("GET", "/" + "".join(choose.choices(letters, k=choose.randint(1, 60))))
                connection.getresponse().read()
            connection.close()
            after = series()
        return {"random_paths_new_series": after - before, "paths": count, "series": after}


class Server:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.pid = process.pid
        self.port = port


def rows() -> dict[str, Callable[[Rows], dict[str, Any]]]:
    return {name: method for name, method in vars(Rows).items() if not name.startswith("_") and name not in HELPERS}


HELPERS = ("seconds", "load", "serving", "empty_fastapi", "saturation")
# what a row measures beside the figure that it is named after
BESIDE = {
    **dict.fromkeys(OVERLOAD, "overload_goodput_share"),
    **dict.fromkeys(("reload_mixed", "reload_memory_growth"), "reload_failed"),
    "sigterm_idle_exit_s": "sigterm_failed",
    "others_p99_ratio": "slow_sockets_open_after_deadline",
    **dict.fromkeys(("requests_over_litserve", "requests_over_mlserver"), "head_to_head"),
}


def chosen_rows(wanted: Sequence[str]) -> list[str]:
    """The rows that measure these figures, each once; all without any. Raises SystemExit for one that no row has."""
    known = rows()
    if unknown := set(wanted) - set(known) - set(BESIDE):
        raise SystemExit(
            f"benchmarks service: no row {', '.join(sorted(unknown))}; there are {', '.join([*known, *BESIDE])}"
        )
    return [*dict.fromkeys(BESIDE.get(name, name) for name in wanted or known)]


def run(*, data: Path, quick: bool = False, chosen: list[str] | None = None) -> dict[str, Any]:
    known, names = rows(), chosen_rows(chosen or ())
    about = machine.describe()
    table = Rows(data, quick=quick)
    figures: dict[str, Any] = {}
    for name in names:
        say(f"{name} ...")
        began = time.monotonic()
        found = known[name](table)
        say(f"  {time.monotonic() - began:.0f} s")
        figures |= {key: value for key, value in found.items() if key in TARGETS}
        # several rows count requests and failures: what is no target stands under its row
        figures.setdefault("rows", {})[name] = {key: value for key, value in found.items() if key not in TARGETS}
    shutil.rmtree(table.scratch)
    return {**figures, "limits": {key: LIMITS[key] for key in LIMITS if key in figures}, "machine": about}


@contextmanager
def running(command: list[str], core: int | None) -> Iterator[Server]:
    """A server of ours on a free port from when it is ready; the port is given as --port, or as the last argument."""
    port = free_port()
    ours = "--model" in command
    command = [*command, *(["--port", str(port), "--log-level", "error"] if ours else [str(port)])]
    with started(command, port, core) as server:
        yield server


@contextmanager
def started(command: list[str], port: int, core: int | None, ready: str = "/health/ready") -> Iterator[Server]:
    """A server from when `ready` says so until the end of the block, when it is told to end."""
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )  # fmt: skip
        try:
            go_first(process.pid)
            _wait_until_ready(process, port, ready)
            yield Server(process, port)
        except Exception:
            log.seek(0)
            say(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()  # one of the others, which does not end when told to
                process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # nor do their workers


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, ready: str) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", ready)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("the server did not become ready")


def _expect_all_good(result: dict[str, Any]) -> None:
    if result["failed"]:
        raise RuntimeError(f"{result['failed']} of {result['sent']} requests failed: {result['first_failure']}")


def _labels(folder: Path) -> set[str]:
    from textcnn import TextClassifier

    return set(TextClassifier.load(folder).labels)


def _children(pid: int) -> list[int]:
    """Processes that `pid` spawned to serve."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in (path.parent / "cmdline").read_text():
                found.append(int(path.parent.name))
    return found
