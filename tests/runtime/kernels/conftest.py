"""The fixture that the tests of the kernels share."""

from kernel_lab import shim

__all__ = ["shim"]
