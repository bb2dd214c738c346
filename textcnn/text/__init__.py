"""From characters to token ids, and from a file of word vectors to a matrix."""
