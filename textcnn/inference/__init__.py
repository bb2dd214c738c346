"""Engines: a trained model and a ragged batch in, logits out."""
