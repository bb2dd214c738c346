"""From the pooled vector to logits and loss. Importing this registers all."""

from textcnn.nn.heads import single_label

__all__ = ["single_label"]
