"""Own the names of stages in NVIDIA's profilers. Time nothing."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from edgeseg.errors import MissingPackageError
from edgeseg.packages import require

__all__ = ["stage"]

DOMAIN = "edgeseg"


@functools.cache
def stage(name: str) -> contextlib.AbstractContextManager[Any]:
    """A range of this thread's time line in Nsight Systems; nothing where ``nvtx`` is not installed.

    The same object is given for the same name: it may be entered by several threads, and again inside itself. Without
    a profiler it costs a fraction of a microsecond.

    Example:
        >>> with stage("submit"):
        ...     pass
    """
    try:
        nvtx = require("nvtx")
    except MissingPackageError:
        return contextlib.nullcontext()
    made: contextlib.AbstractContextManager[Any] = nvtx.annotate(name, domain=DOMAIN)
    return made
