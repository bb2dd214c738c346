"""What a killed run needs to go on: weights, optimizer, generators, place. One file, replaced atomically, no pickle.

Not the model that is served: that is textcnn/artifact.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from textcnn.errors import CheckpointError
from textcnn.files import replacing
from textcnn.train.averaging import WeightAverage

Tensor = torch.Tensor
Finished = tuple[Mapping[str, Tensor], Mapping[str, Any]]
CHECKPOINT = "checkpoint.safetensors"  # in the folder of a run


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file `path` and the `fingerprint` of the run (data and configuration) that may continue from it.

    `finished` are networks of the run that are trained already, each with what is to be known of it, as JSON has it.
    """

    path: Path
    fingerprint: str
    every_seconds: float
    finished: tuple[Finished, ...] = ()

    def save(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage,
        best: dict[str, Tensor] | None,
        place: dict[str, Any],
    ) -> None:
        """Write everything beside the file, then put it in its place. `place` is JSON: epoch, step, scores so far."""
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in average.values.items()}
        tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
        for index, (weights, _) in enumerate(self.finished):
            tensors |= {f"finished.{index}.{name}": value for name, value in weights.items()}
        steps: dict[str, int] = {}
        for index, param in enumerate(_params(optimizer)):
            for key, value in optimizer.state.get(param, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
                else:
                    steps[str(index)] = value
        tensors["generator.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["generator.cuda"] = torch.cuda.get_rng_state()
        groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        about = {
            "fingerprint": self.fingerprint, "place": place, "steps": steps, "groups": groups,
            "averaged_steps": average.steps, "finished": [facts for _, facts in self.finished],
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # always the same name, so that runs which are killed do not leave a large file each
        with replacing(self.path, beside=self.path.with_suffix(".writing")) as path:
            # clones: safetensors refuses tensors that share memory
            copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
            save_file(copies, path, {"about": json.dumps(about)})
            with open(path, "rb") as file:
                os.fsync(file.fileno())

    def load(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage
    ) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
        """Put everything back; returns (place, best weights). Raises CheckpointError if it belongs to another run."""
        about, tensors = self._read()
        network.load_state_dict(_under(tensors, "network."))
        for index, param in enumerate(_params(optimizer)):
            values = _under(tensors, f"optimizer.{index}.")
            if values:
                optimizer.state[param] = {"step": about["steps"][str(index)], **values}
        average.restore(_under(tensors, "average."), about["averaged_steps"])
        for group, saved in zip(optimizer.param_groups, about["groups"], strict=True):
            group.update(saved)
        torch.set_rng_state(tensors["generator.cpu"])
        if "generator.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["generator.cuda"])
        return about["place"], _under(tensors, "best.") or None

    def read_finished(self) -> tuple[Finished, ...]:
        """The networks that were trained when the file was written. Raises CheckpointError as `load` does."""
        about, tensors = self._read("finished.")
        return tuple((_under(tensors, f"finished.{index}."), facts) for index, facts in enumerate(about["finished"]))

    def _read(self, prefix: str = "") -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What it is about, and the tensors whose names begin with `prefix`."""
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                tensors = {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(f"cannot resume from {self.path}: {error}") from None
        if about["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                f"{self.path} belongs to a run with other data or another configuration; "
                "resume with the same command, or train anew without --resume"
            )
        return about, tensors

    def exists(self) -> bool:
        return self.path.is_file()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _params(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
