"""Examples in and out of files: readers, splits, labels, batches."""
