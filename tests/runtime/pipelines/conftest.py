"""Own what tests of the CUDA session share."""

from kernel_lab import shim
from session_lab import session_lab

__all__ = ["session_lab", "shim"]
