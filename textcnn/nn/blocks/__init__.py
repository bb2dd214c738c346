"""Parts between embedding and pooling: (B, T, in_dim), mask -> (B, T', out_dim), mask. Importing this registers all.

Each says by `size(length)` how many positions it makes of a text, and by `span(t, channel)` which tokens a position was
computed from (channel None: any channel; None comes back where there is no bound).
"""

from textcnn.nn.blocks import (
    activation,
    batch_norm,
    dropout,
    inception,
    kim_conv,
    local_pooling,
    parallel,
    pointwise_conv,
    qrnn,
    residual,
    stack,
)

__all__ = [
    "activation",
    "batch_norm",
    "dropout",
    "inception",
    "kim_conv",
    "local_pooling",
    "parallel",
    "pointwise_conv",
    "qrnn",
    "residual",
    "stack",
]
