"""`python -m service` as a user meets it: a real process, a real port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]

# The command with a fake in place of the class that it loads; workers run this file again.
FAKE_MAIN = """
import importlib.util, sys, time
import textcnn

spec = importlib.util.spec_from_file_location("fake", {conftest!r})
fake = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake)

class TextClassifier:
    @staticmethod
    def load(path, *, engine, **options):
        if engine == "broken":
            from textcnn.errors import EngineError
            raise EngineError("no engine is called 'broken'")
        return fake.FakeClassifier()

textcnn.TextClassifier = TextClassifier

if __name__ == "__main__":
    from service.__main__ import main
    sys.exit(main(sys.argv[1:]))
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """The fake service in a process of its own."""

    def __init__(self, script: Path, models: Path, *arguments: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        flags = ["--port", str(port), "--models", str(models), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, str(script), *flags], env=environment, stderr=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> Server:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if httpx.get(self.url + "/health/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError("the service did not become ready")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and log."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log


@pytest.fixture
def start(tmp_path: Path, make_model) -> Iterator[Callable[..., Server]]:
    make_model("models/fake/3")
    script = tmp_path / "fake_main.py"
    script.write_text(FAKE_MAIN.format(conftest=str(ROOT / "tests" / "service" / "conftest.py")))
    servers: list[Server] = []

    def make(*arguments: str) -> Server:
        servers.append(Server(script, tmp_path / "models", *arguments))
        return servers[-1]

    yield make
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


def test_help_shows_every_setting_and_loads_no_web_framework():
    code = (
        "import sys; from service.__main__ import main\ntry: main(['--help'])\nfinally: print('fastapi' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--max-body-bytes" in result.stdout
    assert result.stdout.endswith("False\n")


def test_a_wrong_setting_ends_with_a_message_and_code_2():
    result = run("--port", "70000", TEXTCNN_MAX_TEXTS="many")
    assert result.returncode == 2
    assert "--port / TEXTCNN_PORT" in result.stderr and "--max-texts / TEXTCNN_MAX_TEXTS" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_model_ends_with_where_it_looked_and_code_2(tmp_path):
    result = run("--port", "0", "--models", str(tmp_path))
    assert result.returncode == 2
    assert str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_in_use_ends_with_advice_and_code_2():
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("--port", str(other.getsockname()[1]))
    assert result.returncode == 2
    assert "--port" in result.stderr and "in use" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_that_cannot_be_loaded_ends_with_the_reason_and_code_2(start, workers):
    code, log = start("--engine", "broken", "--workers", workers).ended()
    assert code == 2
    assert "no engine is called 'broken'" in log
    assert "Traceback" not in log


def test_it_answers_over_http_and_ends_with_0_on_sigterm(start):
    server = start("--max-body-bytes", "1000").wait_until_ready()
    with httpx.Client(base_url=server.url) as client:
        answer = client.post("/v1/classify", json={"text": "a cherry"})
        assert answer.json()["predictions"][0]["label"] == "cherry"
        assert "server" not in answer.headers
        # refused while it is still being sent, and the connection survives it
        too_long = client.post("/v1/classify", content=b" " * 10_000_000, headers={"content-type": "application/json"})
        assert too_long.status_code == 413
        assert client.get("/health/live").status_code == 200
    code, log = server.stop()
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["message"] for line in lines] == [f"listening on {server.url}", "ready"]
    assert lines[1]["model"] == "fake"


def test_ctrl_c_ends_it_without_a_traceback(start):
    code, log = start().wait_until_ready().stop(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in log


def test_workers_share_the_port_and_end_together(start):
    server = start("--workers", "2").wait_until_ready()
    assert httpx.post(server.url + "/v1/classify", json={"text": "banana"}).status_code == 200
    code, log = server.stop()
    assert code == 0
    assert "Traceback" not in log
