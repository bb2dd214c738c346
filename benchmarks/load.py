"""A load generator: HTTP/1.1 requests over raw sockets, closed loop or at a constant rate, in a process of its own.

At a constant rate (`rate`) a request is due at its time whether or not earlier ones were answered, and its latency
counts from then: a server that stalls is seen to stall. Where the generator itself is held up by other programs, what
was due meanwhile is not sent, for all at once it would be another load; `held_up` is the share of such requests.
Without a rate each connection sends its next request once it has its answer. What limits it: one core of Python, some
25,000 requests a second.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from benchmarks.data import ROOT
from benchmarks.machine import go_first

SPIN = 0.0005  # seconds between looks at the clock
HELD_UP = 0.002  # seconds without a look at the clock
POLL_SECONDS = 0.1
GRACE = 10.0  # seconds for the last answers
OPEN_SECONDS = 0.0005  # from one slow socket to the next: they have nothing to do with one another
PIECE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Load:
    """`bodies` are sent in turn. `rate` is requests a second; None: as fast as answers come."""

    port: int
    path: str
    bodies: list[str]
    connections: int
    seconds: float
    rate: float | None = None
    headers: dict[str, str] = field(default_factory=dict)
    core: int | None = None
    keep: bool = False  # count the answers by version and first label
    ports: list[int] = field(default_factory=list)  # several: as a balancer does, to those of them that are ready
    slow: int = 0  # so many silent sockets and as many trickling ones beside it, at a rate only; see SlowSockets
    slow_seconds: float = 0.0  # after the last of them was opened it is counted which are open


def generate(load: Load) -> dict[str, Any]:
    """Run a load; see Report.summary for what comes back."""
    return start(load).result()


@dataclass
class Running:
    """A load under way in its process."""

    process: subprocess.Popen[str]

    def stop(self) -> dict[str, Any]:
        """End it before its time, with what it has measured until now."""
        self.process.terminate()
        return self.result()

    def result(self) -> dict[str, Any]:
        out, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"the load generator ended with code {self.process.returncode}")
        summary: dict[str, Any] = json.loads(out)
        return summary


def start(load: Load) -> Running:
    command = [sys.executable, "-m", "benchmarks.load"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(load)))
    process.stdin.close()
    process.stdin = None
    return Running(process)


class Report:
    def __init__(self, keep: bool) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: dict[int, list[float]] = {}
        self.without_retry_after = 0
        self.keep = keep
        self.kept: Counter[str] = Counter()
        self.first_failure = ""
        self.sent = 0

    def answer(self, status: int, head: bytes, body: bytes, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.setdefault(status, []).append(seconds)
        if status in (429, 503) and b"\r\nretry-after:" not in head.lower():
            self.without_retry_after += 1
        if status != 200 and not self.first_failure:
            self.first_failure = f"{status}: {body[:200].decode(errors='replace')}"
        if self.keep and status == 200:
            content = json.loads(body)
            self.kept[f"{content['version']}:{content['predictions'][0]['label']}"] += 1

    def broken(self, reason: str) -> None:
        self.statuses[0] += 1
        self.first_failure = self.first_failure or reason

    def summary(self, seconds: float) -> dict[str, Any]:
        """Counts by status (0: no answer), answers a second, latencies in ms."""
        good = sorted(self.seconds.get(200, []))
        refused = sorted(value for status in (429, 503) for value in self.seconds.get(status, []))
        return {
            "seconds": seconds,
            "sent": self.sent,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "per_second": self.statuses[200] / seconds,
            "failed": sum(count for status, count in self.statuses.items() if status != 200),
            "p50_ms": _quantile(good, 0.5),
            "p99_ms": _quantile(good, 0.99),
            "max_ms": _quantile(good, 1.0),
            "refused_p50_ms": _quantile(refused, 0.5),
            "refused_p99_ms": _quantile(refused, 0.99),
            "refused_max_ms": _quantile(refused, 1.0),
            "without_retry_after": self.without_retry_after,
            "kept": dict(self.kept),
            "first_failure": self.first_failure,
        }


def _quantile(values: list[float], share: float) -> float | None:
    return values[min(int(share * len(values)), len(values) - 1)] * 1000 if values else None


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, driver: Driver, port: int) -> None:
        self.driver = driver
        self.port = port
        self.buffer = b""
        self.due = 0.0
        self.sent = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def send(self, payload: bytes, due: float) -> None:
        self.busy, self.due, self.sent = True, due, time.perf_counter()
        self.transport.write(payload)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end]
        place = head.lower().find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return
        body, self.buffer = self.buffer[end + 4 : end + 4 + length], b""
        self.busy = False
        # a refusal is timed from when it could be sent: it is the server's speed in saying no, not our queue
        status = int(head[9:12])
        begun = self.due if status == 200 else self.sent
        self.driver.report.answer(status, head, body, time.perf_counter() - begun)
        if b"\r\nconnection: close" in head.lower():
            self.transport.close()
        else:
            self.driver.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.driver.lost(self)


class SlowSockets:
    """`count` connections that say nothing and as many that send a piece of a header every PIECE_SECONDS.

    From the generator's core: one that has to be shared with the server would be taken for the server's fault.
    """

    def __init__(self, port: int, count: int, seconds: float) -> None:
        self.port, self.count, self.seconds = port, count, seconds
        self.sockets: list[socket.socket] = []
        self.pieces = 0
        self.opened = 0.0
        self.still_open: int | None = None

    def step(self, now: float) -> None:
        """What is due `now`, a little of it."""
        if self.still_open is not None:
            return
        if len(self.sockets) < 2 * self.count:
            if now >= len(self.sockets) * OPEN_SECONDS:
                self._open()
                self.opened = now
            return
        since = now - self.opened
        if since > self.seconds:
            self.still_open = sum(map(_is_open, self.sockets))
            for connection in self.sockets:
                connection.close()
        elif self.pieces < since / PIECE_SECONDS * self.count:
            turn, number = divmod(self.pieces, self.count)
            with suppress(OSError):  # closed, as it should be
                self.sockets[self.count + number].send(b"x" if turn % 2 else b"a: b\r\n")
            self.pieces += 1

    def _open(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setblocking(False)
        if len(self.sockets) >= self.count:
            connection.send(b"POST /v1/classify HTTP/1.1\r\n")
        self.sockets.append(connection)


class Driver:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.report = Report(load.keep)
        self.idle: deque[Connection] = deque()
        self.waiting: deque[float] = deque()
        self.open = 0
        self.turn = 0
        self.over = False
        self.stopped = False
        self.ready = load.ports or [load.port]
        lines = "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
        self.payloads = []
        for text in load.bodies:
            body = text.encode()
            self.payloads.append(
                f"POST {load.path} HTTP/1.1\r\nhost: 127.0.0.1:{load.port}\r\ncontent-type: application/json\r\n"
                f"{lines}content-length: {len(body)}\r\n\r\n".encode()
                + body
            )

    def send(self, connection: Connection, due: float) -> None:
        self.report.sent += 1
        self.turn += 1
        connection.send(self.payloads[self.turn % len(self.payloads)], due)

    def free(self, connection: Connection) -> None:
        if self.load.rate is None and not self.over:
            self.send(connection, time.perf_counter())
        elif self.waiting:
            self.send(connection, self.waiting.popleft())
        else:
            self.idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self.open -= 1
        if connection.busy:
            self.report.broken("the connection was closed before an answer")
        elif connection in self.idle:
            self.idle.remove(connection)
        if not self.over:
            self.reconnection = asyncio.ensure_future(self.connect())

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.over:
            self.turn += 1
            port = self.ready[self.turn % len(self.ready)]
            try:
                _, connection = await loop.create_connection(partial(Connection, self, port), "127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            self.open += 1
            self.free(connection)
            return

    async def watch(self) -> None:
        """What a balancer does: ask which are ready, and send nothing to the others."""
        while not self.over:
            await asyncio.sleep(POLL_SECONDS)
            ready = [port for port in self.load.ports if await asyncio.to_thread(_is_ready, port)]
            self.ready = ready or self.load.ports
            for connection in [idle for idle in self.idle if idle.port not in self.ready]:
                connection.transport.close()

    async def run(self) -> dict[str, Any]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(self, "stopped", True))
        await asyncio.gather(*(self.connect() for _ in range(self.load.connections)))
        watching = asyncio.ensure_future(self.watch()) if self.load.ports else None
        started = time.perf_counter()
        if self.load.rate is None:
            await asyncio.sleep(self.load.seconds)
            self.over = True
            seconds = time.perf_counter() - started
            summary = self.report.summary(seconds)
            await self._settle()
            return summary
        slow = SlowSockets(self.load.port, self.load.slow, self.load.slow_seconds) if self.load.slow else None
        due, gap, last, held_up = 0, 1 / self.load.rate, 0.0, 0
        total = int(self.load.seconds * self.load.rate)
        while due < total and not self.stopped:
            now = time.perf_counter() - started
            if now - last > HELD_UP:
                missed = min(int(now / gap), total) - due
                due, held_up = due + missed, held_up + missed
            last = now
            while due < total and due * gap <= now:
                moment = started + due * gap
                due += 1
                if self.idle:
                    self.send(self.idle.popleft(), moment)
                else:
                    self.waiting.append(moment)
            if slow:
                slow.step(now)
            await asyncio.sleep(SPIN)
        # those that never got a connection are counted apart: the server did not see them
        unsent, seconds = len(self.waiting), time.perf_counter() - started
        self.waiting.clear()
        await self._settle()
        self.over = True
        if watching:
            await watching
        figures = {**self.report.summary(seconds), "unsent": unsent, "held_up": held_up / max(due, 1)}
        return {**figures, "slow_open": slow.still_open} if slow else figures

    async def _settle(self) -> None:
        deadline = time.perf_counter() + GRACE
        while len(self.idle) < self.open and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)


def _is_open(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def main() -> None:
    import os

    load = Load(**json.load(sys.stdin))
    if load.core is not None:
        os.sched_setaffinity(0, [load.core])
    go_first(0)
    gc.disable()  # it would take 50 ms now and then
    import uvloop

    print(json.dumps(uvloop.run(Driver(load).run())))


if __name__ == "__main__":
    main()
