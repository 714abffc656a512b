"""Own the call of what makes a net: its arguments, its faults, and what is known of the net. Find no factory."""

from __future__ import annotations

import difflib
import inspect
import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

__all__ = ["FAULTS", "Loaded", "call_factory", "class_argument_of", "fault_text", "in_float32", "nearest"]

#: what a net's own code may raise while it is imported or made
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
#: what factories call their number of classes, the commonest first
CLASS_ARGUMENTS = ("num_classes", "classes", "n_classes", "nclass", "nclasses", "num_labels", "out_channels")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A net, and what a user should know of how it came about.

    Attributes:
        net: an nn.Module on the CPU, in evaluation mode and float32 (a ScriptModule for TorchScript), or the
            ExportedProgram of a .pt2 file.
        notes: sentences for the user, such as that 16-bit weights were converted.
        has_weights: the net came with its trained weights, no checkpoint is needed.
        class_argument: the factory's argument for the number of classes, if it has one.
    """

    net: nn.Module | ExportedProgram
    notes: tuple[str, ...] = ()
    has_weights: bool = False
    class_argument: str | None = None


def call_factory(name: str, factory: Callable[..., Any], arguments: Mapping[str, object]) -> nn.Module:
    """Call ``factory``, which a user named as ``name``.

    Returns:
        What it made, unchanged.
    Raises:
        ModelError: it does not take the arguments, fails, or makes no nn.Module.
    """
    _check_arguments(name, factory, arguments)
    try:
        module = factory(**arguments)
    except FAULTS as error:
        raise ModelError(
            f"{name} fails with {_words(arguments)} ({fault_text(error)})", "check --arg; --debug shows where"
        ) from error
    if not isinstance(module, require("torch").nn.Module):
        raise ModelError(f"{name} gives a {type(module).__name__}", "name a class or factory of an nn.Module")
    made: nn.Module = module
    return made


def class_argument_of(factory: Callable[..., Any]) -> str | None:
    """The argument that sets the number of classes, judged by its name."""
    parameters = _parameters(factory)
    return next((name for name in CLASS_ARGUMENTS if name in parameters), None)


def in_float32(module: nn.Module) -> tuple[str, ...]:
    """Convert ``module`` to float32, in place; TensorRT's and OpenVINO's precision is chosen when the engine is built.

    Returns:
        A note, if anything had to be converted.
    """
    tensors = itertools.chain(module.parameters(), module.buffers())
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors if tensor.is_floating_point()}
    others = sorted(kinds - {"float32"})
    if not others:
        return ()
    module.float()
    return (f"the net's numbers are {' and '.join(others)}: converted to float32",)


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint: the names nearest to ``word``, or the first few of all."""
    lower = {one.lower(): one for one in words}
    near = [lower[one] for one in difflib.get_close_matches(word.lower(), lower, n=3)]
    if near:
        return f"nearest is {', '.join(near)}"
    return f"there are {', '.join(sorted(lower.values())[:20])}" if lower else "check the name"


def fault_text(error: BaseException) -> str:
    """The kind of an error and the first line of what it says, of which libraries write pages."""
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."


def _check_arguments(name: str, factory: Callable[..., Any], arguments: Mapping[str, object]) -> None:
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        known = ", ".join(_parameters(factory)) or "no argument"
        raise ModelError(
            f"{name} cannot be called with {_words(arguments)} ({error})", f"it takes {known}: give --arg NAME=VALUE"
        ) from error
    except ValueError:  # a function without a signature, in C: the call itself will tell
        return


def _parameters(factory: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return []


def _words(arguments: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value!r}" for name, value in arguments.items()) or "no arguments"
