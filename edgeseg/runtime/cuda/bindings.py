"""Own calls of the driver by cuda-bindings, every result checked, and the end of what they make. Know no handle."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from edgeseg.errors import EngineError

__all__ = ["Owned", "call"]


def call(api: Any, name: str, *arguments: Any) -> Any:
    """Call a function of the driver. Needs the context current.

    Args:
        api: ``cuda.bindings.driver``.
        name: as cuda.h has it.
        arguments: without those that it writes to.
    Returns:
        What it gives beside its result; None where that is nothing.
    Raises:
        EngineError: it failed, or this cuda-bindings and this driver do not go together.
    """
    try:
        code, *given = getattr(api, name)(*arguments)
    except RuntimeError as error:  # cuda-bindings': the driver is not found, or does not have the function
        raise EngineError(
            f"cuda-bindings cannot call {name} ({error})", "install the cuda-bindings of the driver's CUDA release"
        ) from error
    if code != api.CUresult.CUDA_SUCCESS:
        _, words = api.cuGetErrorString(code)  # None of a code that this driver does not know
        told = words.decode() if words else str(code)
        raise EngineError(f"{name} failed: {told}", "close other programs on the GPU, or restart this one")
    return given[0] if given else None


class Owned:
    """A thing of the driver's that is destroyed when this is dropped, as PyCUDA's are; kept in a ``Handle``."""

    def __init__(self, thing: Any, destroy: Callable[[Any], object]) -> None:
        self.thing, self._destroy = thing, destroy
        self._pid = os.getpid()

    def __del__(self) -> None:
        if self._pid == os.getpid():  # in a fork it is the parent's
            self._destroy(self.thing)  # what it tells is of earlier work, which others are told of
