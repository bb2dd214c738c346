"""What the gradients of a network say about the words of a text: for any network, and exact for none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from textcnn.errors import needs_extra
from textcnn.nn.model import Network
from textcnn.nn.ragged import Distinct
from textcnn.types import Parts, TokenBatch

Tensor = torch.Tensor
# a network in eval mode, a batch of one text that has tokens, a class -> float64[T], and the logit without them
Gradients = Callable[[Network, TokenBatch, int], tuple[Parts, float]]
STEPS = 128  # of the path from zero to the text
TOKENS_AT_ONCE = 8192  # of texts on that path


def grad_cam(network: Network, text: TokenBatch, target: int) -> tuple[Parts, float]:
    """Gradient-weighted class activation mapping (Selvaraju et al. 2017, equations 1 and 2), over positions.

    A channel of the last block weighs the mean of the logit's gradient over its positions; a position counts the
    weighted sum of its activations, if positive. Where blocks shorten the text, tokens lie between positions. The other
    number is the logit of the empty text; these do not add up to the logit.
    """
    x, mask = _embedded(network, text)
    with torch.no_grad():
        activations, inside = network.encoder.through(x, mask, network.encoder.blocks)[-1]
    activations.requires_grad_()
    with torch.enable_grad():
        logit = network.head(network.encoder.pooling(activations, inside))[0, target]
        (gradient,) = torch.autograd.grad(logit, activations)
    channels = gradient[inside].mean(0)
    positions = (activations.detach()[inside] @ channels).clamp(min=0).cpu().numpy().astype(np.float64)
    tokens, count = len(text.values), len(positions)
    found = np.interp((np.arange(tokens) + 0.5) / tokens, (np.arange(count) + 0.5) / count, positions)
    with torch.no_grad():
        empty = network.head(network.encoder.pooling(activations, torch.zeros_like(inside)))[0, target]
    return found, float(empty)


def integrated_gradients(network: Network, text: TokenBatch, target: int) -> tuple[Parts, float]:
    """Gradients along the way from zero vectors to those of the words, times these (Sundararajan et al. 2017).

    They add up to the logit less that of as many words that say nothing, the other number: completeness, but for what
    the steps of the way leave out. By captum. Raises MissingExtraError without it.
    """
    with needs_extra("integrated gradients", "captum"):
        from captum.attr import IntegratedGradients
    x, mask = _embedded(network, text)

    def logits(vectors: Tensor) -> Any:
        return network.head(
            network.encoder.pooling(
                *network.encoder.through(vectors, mask.expand(len(vectors), -1), network.encoder.blocks)[-1]
            )
        )

    nothing = torch.zeros_like(x)
    at_once = max(1, TOKENS_AT_ONCE // x.shape[1])
    found = IntegratedGradients(logits).attribute(
        x, baselines=nothing, target=target, n_steps=STEPS, internal_batch_size=at_once
    )
    with torch.no_grad():
        bias = float(logits(nothing)[0, target])
    return found.detach().sum(2)[0].double().cpu().numpy(), bias


def _embedded(network: Network, text: TokenBatch) -> tuple[Tensor, Tensor]:
    device = next(network.parameters()).device
    vocabulary = int(text.values.max()) + 1
    with torch.no_grad():
        return network.encoder.embedded(Distinct(vocabulary)(text).to(device))
