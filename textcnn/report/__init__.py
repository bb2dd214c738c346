"""How good a model is and where it fails, as plain values and as one page."""
