"""From the vectors of segments to one vector. Importing this registers all."""

from textcnn.nn.joins import compare, document

__all__ = ["compare", "document"]
