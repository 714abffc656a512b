"""Own what may be exported: a module, an exported program or TorchScript, as one float32 module. Trace nothing."""

from __future__ import annotations

import inspect
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from edgeseg.errors import ModelError
from edgeseg.export.blame import first_line, kind_of, named
from edgeseg.export.factories import in_float32
from edgeseg.export.quiet import quiet
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

__all__ = ["Net", "net_of"]

ONE_IMAGE = "write a module that takes the image alone, float32 NCHW, and calls it"


@dataclass(frozen=True, kw_only=True)
class Net:
    """A module on the CPU in evaluation mode with float32 weights, and what had to be changed for that."""

    module: nn.Module
    notes: tuple[str, ...]


def net_of(source: nn.Module | ExportedProgram, shape: tuple[int, ...]) -> Net:
    """Make a source ready to be run and traced on one image.

    Args:
        source: a module (changed in place: evaluation mode, float32), TorchScript, or an exported program.
        shape: of the image, NCHW.
    Raises:
        ModelError: it does not take one image of that shape, or was exported in training mode.
    """
    torch = require("torch")
    if isinstance(source, torch.export.ExportedProgram):
        _check_program(source, shape)
        return _ready(torch.export.unflatten(source).eval())  # the flag alone: its operators are what they are
    module = cast("nn.Module", source)
    _check_arguments(kind_of(module), *_arguments_of(module))
    return _ready(_reloaded(module) if isinstance(module, torch.jit.ScriptModule) else module)


def _ready(module: nn.Module) -> Net:
    notes = []
    training = [(name, one) for name, one in module.named_modules() if getattr(one, "training", False)]
    if training:
        name, one = training[0]
        notes.append(f"{named(name, kind_of(one))} was in training mode: exported in evaluation mode")
    notes += in_float32(module)
    return Net(module=module.eval(), notes=tuple(notes))


def _reloaded(script: Any) -> Any:
    """TorchScript as ``torch.export`` takes it.

    Its submodules must not know the Python classes that they were scripted from, as after loading (2.13 calls their
    forward() otherwise), and its parameters must be of class Parameter, which those of a loaded one are not.
    """
    torch = require("torch")
    buffer = io.BytesIO()
    try:
        with quiet():  # all of TorchScript is deprecated
            torch.jit.save(script, buffer)
            buffer.seek(0)
            loaded = torch.jit.load(buffer, map_location="cpu")
    except RuntimeError as error:
        raise ModelError(
            f"the TorchScript cannot be saved and loaded ({first_line(error)})",
            "give it as it was before torch.jit.optimize_for_inference",
        ) from error
    for module in loaded.modules():
        for name, tensor in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(tensor.detach(), requires_grad=False))
    return loaded


def _arguments_of(module: Any) -> tuple[list[str], int]:
    """The names of the inputs that must be given, and how many can be given by position."""
    torch = require("torch")
    if isinstance(module, torch.jit.ScriptModule):
        given = module.forward.schema.arguments[1:]
        return [one.name for one in given if not one.has_default_value()], len(given)
    taken = inspect.signature(module.forward).parameters.values()
    by_place = [one for one in taken if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    is_open = any(one.kind == one.VAR_POSITIONAL for one in taken)
    return [one.name for one in by_place if one.default is one.empty], len(by_place) + is_open


def _check_arguments(kind: str, needed: list[str], count: int) -> None:
    if count == 0:
        raise ModelError(f"{kind} takes no input", ONE_IMAGE)
    if len(needed) > 1:
        raise ModelError(f"{kind} takes {len(needed)} inputs ({', '.join(needed)}), not one image", ONE_IMAGE)


def _check_program(program: ExportedProgram, shape: tuple[int, ...]) -> None:
    inputs = program.graph_signature.user_inputs
    _check_arguments("the exported program", [str(name) for name in inputs], len(inputs))
    (taken,) = (node.meta["val"] for node in program.graph.nodes if node.name == inputs[0])
    sides = tuple(side if isinstance(side, int) else str(side) for side in taken.shape)
    if len(sides) != 4:
        raise ModelError(f"the exported program takes {inputs[0]} {sides}, no image {shape}", ONE_IMAGE)
    if any(isinstance(side, int) and side != asked for side, asked in zip(sides, shape, strict=True)):
        raise ModelError(
            f"the exported program takes {inputs[0]} {sides}, not {shape}",
            "give its --input-size and --colour, or run torch.export again with dynamic_shapes",
        )
    _check_evaluation(program)


def _check_evaluation(program: ExportedProgram) -> None:
    """Dropout and batch norm of training are in the graph for good; their operators say so by an argument."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [one.name for one in schema.arguments] if schema is not None else []
        if any(value is True for name, value in zip(names, node.args, strict=False) if name in ("train", "training")):
            raise ModelError(
                f"the exported program computes as in training ({node.name})",
                "call .eval() on the net and run torch.export again",
            )
