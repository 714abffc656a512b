"""Own masks given to a function of the user's. Know nothing of what it does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeseg.errors import OutputError
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks.base import MaskSink

__all__ = ["MaskCallback", "load_callback"]

MaskFunction = Callable[[Frame, Mask], object]


class MaskCallback(MaskSink):
    """Calls a function with every frame and mask.

    Args:
        function: takes the frame and the uint8 (H, W) mask; copies what it keeps. Where it has a method ``close``, that
            is called once at the end, also after a failure.
        name: how messages call it.
    Raises:
        OutputError: out of ``write`` and ``close``, where the function raises an exception.
    """

    def __init__(self, function: MaskFunction, *, name: str) -> None:
        self.name = name
        self._function = function
        self._close: Callable[[], object] | None = getattr(function, "close", None)

    def write(self, frame: Frame, mask: Mask) -> None:
        try:
            self._function(frame, mask)
        except Exception as error:  # whatever a user's function raises is this sink's failure
            raise self._failure(error, f"at frame {frame.sequence}") from error

    def close(self) -> None:
        close, self._close = self._close, None
        if close is None:
            return
        try:
            close()
        except Exception as error:  # as above
            raise self._failure(error, "while closing") from error

    def abandon(self) -> None:
        try:
            self.close()
        except OutputError:  # there is nobody to tell
            return

    def _failure(self, error: Exception, when: str) -> OutputError:
        return OutputError(f"{self.name} raised {type(error).__name__} {when} ({error})", "mend the function")


def load_callback(name: str) -> MaskCallback:
    """The function that ``py:module:function`` names; the module may lie in the working folder.

    Raises:
        OutputError: there is no such module or function, or the module fails.
    """
    module_name, _, attribute = name.removeprefix("py:").partition(":")
    if not module_name or not attribute:
        raise OutputError(f"{name} names no function", "write py:module:function")
    function = _attribute(_module(module_name, name), attribute, name)
    if isinstance(function, type):
        function = _made(function, name)
    if not callable(function):
        raise OutputError(f"{name} is {type(function).__name__}", "name what can be called with a frame and a mask")
    return MaskCallback(function, name=name)


def _made(kind: type, name: str) -> Any:
    """The one object of a class for this run."""
    try:
        return kind()
    except Exception as error:  # a user's class may raise anything
        raise OutputError(
            f"{name} cannot be made ({type(error).__name__}: {error})", "give it an __init__ without arguments"
        ) from error


def _module(module_name: str, name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it; console scripts have not
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise OutputError(
            f"{name}: module {module_name} cannot be imported ({type(error).__name__}: {error})",
            f"put {module_name.split('.')[0]}.py into {here} or install it",
        ) from error


def _attribute(module: Any, attribute: str, name: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise OutputError(f"{name}: {module.__name__} has no {attribute}", "check its spelling") from error
