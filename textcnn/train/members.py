"""The networks of a run, one after the other: usually one, or several that will answer together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from textcnn.config import RunConfig
from textcnn.members import member_seeds
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.train.checkpoint import Checkpoint
from textcnn.train.interrupt import Interrupt
from textcnn.train.loop import Examples, TrainingResult, fit_network, score
from textcnn.train.progress import Progress


@dataclass(frozen=True, slots=True)
class Member:
    """A trained network: its weights, what happened, and loss and accuracy by itself on the validation texts."""

    weights: Mapping[str, torch.Tensor]
    result: TrainingResult
    validation: dict[str, float] | None

    @classmethod
    def from_json(cls, weights: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> Member:
        result = {**facts["result"], "history": tuple(facts["result"]["history"])}
        return cls(weights, TrainingResult(**result), facts["validation"])

    def facts(self) -> dict[str, Any]:
        """All but the weights, for a checkpoint."""
        return {"result": asdict(self.result), "validation": self.validation}


def fit_members(
    first: Network,
    another: Callable[[int], Network] | None,
    vocabulary: int,
    train: Examples,
    validation: Examples | None,
    config: RunConfig,
    *,
    class_weights: npt.NDArray[np.float32] | None,
    progress: Progress,
    checkpoint: Checkpoint | None,
    resume: bool,
) -> list[Member]:
    """Train the `first` network and what `another` makes of other seeds, each with its own order and early stopping.

    Ctrl-C ends it with those that are there; of the one that is trained then, what it is after its last finished epoch,
    or, if there is no other, as it is. With `resume` those that were finished are not trained again. Raises
    CheckpointError.
    """
    count = config.train.members
    members: list[Member] = []
    if checkpoint and resume and checkpoint.exists():
        members = [Member.from_json(weights, facts) for weights, facts in checkpoint.read_finished()]
    resume_at = len(members)
    with Interrupt() as interrupt:
        for number, seed in list(enumerate(member_seeds(config.train)))[resume_at:]:
            network = first if number == 0 or another is None else another(seed)
            result = fit_network(
                network, train, validation, config.train.model_copy(update={"seed": seed}),
                auxiliary=config.model.auxiliary, class_weights=class_weights,
                progress=progress.member(number + 1, count, histories(members)) if count > 1 else progress,
                checkpoint=checkpoint and replace(checkpoint, finished=tuple((m.weights, m.facts()) for m in members)),
                resume=resume and number == resume_at, spare=bool(members),
            )  # fmt: skip
            if result.history or not members:
                alone = score(network, validation, Distinct(vocabulary)) if validation and count > 1 else None
                members.append(Member(network.to("cpu").state_dict(), result, alone))
            if result.interrupted or interrupt.asked:
                break
    if len(members) < count:
        progress.note(f"the model is made of {len(members)} of {count} members")
    return members


def histories(members: Sequence[Member]) -> list[dict[str, Any]]:
    """The epochs of all, each with the number of its member."""
    return [
        {"member": number, **record} for number, member in enumerate(members, 1) for record in member.result.history
    ]
