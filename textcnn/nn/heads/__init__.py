"""From the pooled vector to logits and loss. Importing this registers all."""

from textcnn.nn.heads import hierarchy, multi_label, multi_task, ordinal, single_label

__all__ = ["hierarchy", "multi_label", "multi_task", "ordinal", "single_label"]
