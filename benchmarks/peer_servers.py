"""The same model behind LitServe and MLServer, in an environment of their own: their pins are not ours.

Each gets what its documentation advises for small models on one core: one worker in LitServe; in MLServer no parallel
workers, which would add a process and a queue. Both batch where that was faster (LitServe: 64, without waiting).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import SCRATCH
from benchmarks.machine import say

PACKAGES = ("litserve", "mlserver", "click", "numpy", "pydantic", "safetensors", "tokenizers")

LITSERVE = """
import sys
import litserve
from textcnn import TextClassifier

class Classify(litserve.LitAPI):
    def setup(self, device):
        self.model = TextClassifier.load({model!r}, threads=1)

    def decode_request(self, request):
        return request["text"]

    def batch(self, inputs):
        return list(inputs)

    def predict(self, texts):
        return self.model.classify(texts)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {{"label": output.label, "probability": output.probability}}

if __name__ == "__main__":
    api = Classify(max_batch_size=64, batch_timeout=0)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=int(sys.argv[1]), host="127.0.0.1", num_api_servers=1, log_level="error", generate_client_file=False
    )
"""
MLSERVER = """
from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceResponse
from textcnn import TextClassifier

class Classify(MLModel):
    async def load(self):
        self.model = TextClassifier.load({model!r}, threads=1)
        return True

    async def predict(self, payload):
        texts = StringCodec.decode_input(payload.inputs[0])
        labels = [found.label for found in self.model.classify(texts)]
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("label", labels)])
"""


class Peer(NamedTuple):
    """How it is started on a port, and how it is asked for one text."""

    command: Callable[[int], list[str]]
    path: str
    body: Callable[[str], str]
    ready: str


def environment() -> Path:
    """The interpreter of an environment that has them, made once. Needs a package index; takes minutes."""
    folder = SCRATCH / "peers"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        say("installing LitServe and MLServer in an environment of their own ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "complete").touch()
    return python


def peers(model: Path, folder: Path) -> dict[str, Peer]:
    """The servers, their files written to `folder`."""
    python = str(environment())
    litserve = folder / "litserve_server.py"
    litserve.write_text(LITSERVE.format(model=str(model)))

    def mlserver(port: int) -> list[str]:
        home = folder / f"mlserver-{port}"
        home.mkdir()
        (home / "classify.py").write_text(MLSERVER.format(model=str(model)))
        settings = {
            "host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
            "parallel_workers": 0, "debug": False, "use_structured_logging": False,
        }  # fmt: skip
        (home / "settings.json").write_text(json.dumps(settings))
        (home / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "classify.Classify"}))
        return [str(Path(python).parent / "mlserver"), "start", str(home)]

    def tensor(text: str) -> str:
        column = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
        return json.dumps({"inputs": [{**column, "parameters": {"content_type": "str"}}]})

    return {
        "litserve": Peer(
            lambda port: [python, str(litserve), str(port)],
            "/predict",
            lambda text: json.dumps({"text": text}),
            "/health",
        ),
        "mlserver": Peer(mlserver, "/v2/models/m/infer", tensor, "/v2/models/m/ready"),
    }
