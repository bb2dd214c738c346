"""Parts between embedding and pooling; nn/parts.py says what a block promises. Importing this registers all."""

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
