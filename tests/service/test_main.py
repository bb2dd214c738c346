"""`python -m service` as a user meets it: a real process, a real port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False
    )


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
    assert [line["message"] for line in lines] == [f"listening on {server.url}", "loaded", "ready", "draining"]
    assert (lines[1]["model"], lines[1]["version"]) == ("fake", "3")


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
