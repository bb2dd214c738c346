"""Networks: ids in, tensors out. Nothing here knows of files, strings, labels or HTTP."""
