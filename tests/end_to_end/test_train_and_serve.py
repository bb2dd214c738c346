"""The whole way in real processes: train by command, serve, ask over HTTP; all three answer alike."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier

from ..conftest import tiny_corpus, write_csv
from ..patience import PATIENCE, until


def textcnn(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "textcnn.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def wait_until_ready(service: subprocess.Popen[str], url: str) -> None:
    def ready() -> bool:
        assert service.poll() is None, service.communicate()
        try:
            return bool(ask(f"{url}/health/ready"))
        except OSError:
            return False

    until(ready, "the service")


def test_a_table_becomes_a_service_that_answers_like_python_and_the_command(tmp_path: Path) -> None:
    write_csv(tmp_path / "mails.csv", *tiny_corpus())
    settings = ["model.embedding.dim=16", "train.max_epochs=4", "train.learning_rate=0.01", "train.batch_size=8"]
    assert "saved models/mails/1" in textcnn("train", "mails.csv", *settings, cwd=tmp_path)
    texts = [*tiny_corpus(40, seed=1)[0], "zyzzyva", "где моя посылка?", "我的包裹在哪里"]

    model = TextClassifier.load(tmp_path / "models" / "mails")
    expected = model.predict(texts)
    assert len(set(expected)) == 3
    by_command = [json.loads(line) for line in textcnn("predict", "models/mails", *texts, cwd=tmp_path).splitlines()]
    assert [row["label"] for row in by_command] == expected

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "textcnn.cli.main", "serve", "--model", "mails", "--port", str(port)]
    service = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_ready(service, url)
        answer = ask(f"{url}/v1/classify", {"texts": texts, "top_k": 3})
        assert [prediction["label"] for prediction in answer["predictions"]] == expected
        for prediction, row, top in zip(answer["predictions"], by_command, model.classify(texts), strict=True):
            assert prediction["probability"] == pytest.approx(row["probability"], abs=2e-6)
            assert prediction["probability"] == pytest.approx(top.probability, abs=2e-6)
        assert ask(f"{url}/v1/classify", {"text": texts[0]})["predictions"][0]["label"] == expected[0]
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=PATIENCE)
        assert service.returncode == 0
        assert "Traceback" not in log
    finally:
        if service.poll() is None:
            service.kill()
            service.communicate()
