"""From a sequence to one vector: (B, T, in_dim), mask -> (B, out_dim). Importing this registers all."""

from textcnn.nn.pooling import max_over_time

__all__ = ["max_over_time"]
