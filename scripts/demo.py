"""Train on the example data, start the service on loopback, classify a few texts by HTTP. Run by scripts/demo."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "build/demo/1"  # not in models/, whose models are served and go into the image
TEXTS = [
    "The courier left my parcel in the rain and nobody rang",
    "I was charged twice for the same coffee machine",
    "vacuum robot keeps saying error 14 and spins in circles",
    "how do i change the e-mail address i log in with?",
    "Does the small lamp also come in white?",
]
STARTS_WITHIN = 60.0  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the first answers instead of waiting for Ctrl-C")
    parser.add_argument("--port", type=int, default=8000, help="port of the service; another free one if it is taken")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, which takes the service along
    try:
        train()
    except KeyboardInterrupt:
        sys.exit("\nstopped while training")
    port = options.port if is_free(options.port) else 0
    service, url = start(port)
    try:
        wait_until_ready(service, url)
        for text in TEXTS:
            answer = classify(url, text)
            print(f"  {answer['label']:<13} {answer['probability']:6.1%}   {text}")
        if not options.once:
            body = json.dumps({"text": "my headphones arrived broken"})
            print(f"\nTry it:\n  curl -s {url}/v1/classify -H 'content-type: application/json' -d '{body}'")
            print(f"or open {url}/playground\n\nThe service runs until you press Ctrl-C.", flush=True)
            service.wait()
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        stop(service)
    return 0


def train() -> None:
    command = ["train", "examples/support.csv", "--output", MODEL, "--overwrite", "data.test_fraction=0.15"]
    print(f"$ textcnn {' '.join(command)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "textcnn.cli.main", *command], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def start(port: int) -> tuple[subprocess.Popen[bytes], str]:
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
    print(f"\n$ textcnn serve --model {MODEL} --port {port}", flush=True)
    command = [sys.executable, "-P", "-m", "service", "--model", MODEL, "--port", str(port), "--log-level", "warning"]
    # its own session: Ctrl-C reaches this program alone, which then stops the service in order
    service = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    return service, f"http://127.0.0.1:{port}"


def wait_until_ready(service: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        if service.poll() is not None:
            sys.exit(f"the service ended with code {service.returncode}; see its message above")
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit(f"the service was not ready within {STARTS_WITHIN:.0f} seconds")


def classify(url: str, text: str) -> dict[str, object]:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/classify", json.dumps({"text": text}).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        prediction: dict[str, object] = json.load(response)["predictions"][0]
        return prediction


def stop(service: subprocess.Popen[bytes]) -> None:
    if service.poll() is None:
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(10)
        except subprocess.TimeoutExpired:
            service.kill()


if __name__ == "__main__":
    sys.exit(main())
