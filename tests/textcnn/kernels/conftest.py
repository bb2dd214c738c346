"""Where there is no GPU the Triton kernels run in Triton's interpreter; triton asks for it when it is first imported."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
