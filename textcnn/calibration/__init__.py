"""From logits to probabilities that hold, and to answers that may be "none of these" or several labels."""
