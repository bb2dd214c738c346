"""From a sequence to one vector: (B, T, in_dim), mask -> (B, out_dim). Importing this registers all.

`positions_needed`, where a pooling has it, is the number of positions below which some of its numbers say nothing new.
"""

from textcnn.nn.pooling import adaptive, attention, average, concatenate, k_max, last_state, max_over_time

__all__ = ["adaptive", "attention", "average", "concatenate", "k_max", "last_state", "max_over_time"]
