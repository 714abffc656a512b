"""The fixtures that the tests of the kernels share."""

from __future__ import annotations

import pytest
from kernel_lab import Shim, shim
from kernel_launchers import ShimLauncher

__all__ = ["launcher", "shim"]


@pytest.fixture
def launcher(shim: Shim) -> ShimLauncher:
    """The kernels as C++."""
    return ShimLauncher(shim)
