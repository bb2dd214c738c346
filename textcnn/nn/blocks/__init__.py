"""Parts between embedding and pooling: (B, T, in_dim), mask -> (B, T', out_dim), mask. Importing this registers all."""

from textcnn.nn.blocks import kim_conv, qrnn

__all__ = ["kim_conv", "qrnn"]
