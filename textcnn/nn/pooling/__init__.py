"""From a sequence to one vector; nn/parts.py says what a pooling promises. Importing this registers all."""

from textcnn.nn.pooling import adaptive, attention, average, concatenate, k_max, last_state, max_over_time

__all__ = ["adaptive", "attention", "average", "concatenate", "k_max", "last_state", "max_over_time"]
