"""Own the way from a module to an ONNX graph by torch's exporter. Check no numbers, write no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeseg.errors import ModelError
from edgeseg.export.blame import failing_operator, first_line, kind_of, module_of, named, place_of
from edgeseg.export.notes import Scope, keep_places, scopes_of, unwrapped
from edgeseg.export.opset import TORCH_OPSET, check_opset, lower_to_17
from edgeseg.export.outputs import NET_ERRORS, WRAPPED
from edgeseg.export.profiles import ONE_SIZE, free_axes, is_constraint, name_axes, refused, unpoolable
from edgeseg.export.quiet import quiet
from edgeseg.packages import require
from edgeseg.spec import ProfileSpec

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

__all__ = ["INPUT_NAME", "Traced", "trace"]

INPUT_NAME = "image"


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A net as an ONNX graph; ``scopes`` says of every operator that torch saw in which calls of modules it was."""

    model: ir.Model
    scopes: Mapping[str, tuple[Scope, ...]]


def trace(single: nn.Module, shape: tuple[int, ...], *, output: str, opset: int, profile: ProfileSpec | None) -> Traced:
    """Export a module with one input and one output.

    Args:
        single: see ``outputs.single_output``.
        shape: of the image, NCHW; the largest one where a profile leaves axes open.
        output: what the graph calls the module's output.
        opset: 17 to 23.
        profile: the axes that stay open; none without it.
    Raises:
        ModelError: torch cannot trace the net or has no ONNX for an operator, or the graph has no such opset.
    """
    require("onnxscript")
    program = _captured(single, shape, profile)
    made = _translated(program, single, output, opset, profile)
    if profile is not None:
        name_axes(made.model, profile)
    model, graph_program = made.model, made.exported_program
    scopes = {} if graph_program is None else scopes_of(graph_program)
    keep_places(model, single.get_submodule(WRAPPED))
    if opset < TORCH_OPSET:
        lower_to_17(model)
    check_opset(model, opset)
    return Traced(model=model, scopes=scopes)


def _captured(single: nn.Module, shape: tuple[int, ...], profile: ProfileSpec | None) -> ExportedProgram:
    torch = require("torch")
    axes = free_axes(profile) if profile is not None else {}
    try:
        with quiet():
            program: ExportedProgram = torch.export.export(
                single, (torch.zeros(shape),), dynamic_shapes=(axes,) if axes else None
            )
    except NET_ERRORS as error:
        raise _untraceable(error, single) from error
    _modernise(program)
    if axes and (pool := unpoolable(program)) is not None:
        place = _named(single, module_of(pool))
        raise ModelError(f"{pool.target} in {place} has no ONNX where height and width are free", ONE_SIZE)
    return program


def _modernise(program: ExportedProgram) -> None:
    """The convolution that ``torch.jit.trace`` writes down has no ONNX (torch 2.13); its successor has."""
    aten = require("torch").ops.aten
    for node in program.graph.nodes:
        if node.target is aten._convolution.default:
            node.target, node.args = aten.convolution.default, node.args[:9]


def _untraceable(error: Exception, single: nn.Module) -> ModelError:
    torch = require("torch")
    if is_constraint(error):
        return refused(error, is_script=isinstance(single.get_submodule(WRAPPED), torch.jit.ScriptModule))
    place = place_of(error, single.get_submodule(WRAPPED))
    if isinstance(error, torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode):
        return ModelError(
            f"forward() goes another way for other pixels ({place}), which a graph cannot",
            "use torch.where, or take the branch out of forward()",
        )
    return ModelError(
        f"torch.export cannot trace the net ({first_line(error)}{f', in {place}' if place else ''})",
        "make forward() of tensor operations alone",
    )


def _translated(
    program: ExportedProgram, single: nn.Module, output: str, opset: int, profile: ProfileSpec | None
) -> ONNXProgram:
    torch = require("torch")
    try:
        with quiet():
            made: ONNXProgram = torch.onnx.export(
                program,
                input_names=[INPUT_NAME],
                output_names=[output],
                opset_version=max(opset, TORCH_OPSET),
                verbose=False,
            )
    except NET_ERRORS as error:
        raise _untranslatable(error, single, profile) from error
    return made


def _untranslatable(error: BaseException, single: nn.Module, profile: ProfileSpec | None) -> ModelError:
    operator, path = failing_operator(error) or ("an operator", "")
    place = f"{operator} in {_named(single, path)}"
    hint = "write it with other operators" + (f", or {ONE_SIZE}" if profile is not None else "")
    while error.__cause__ is not None:
        error = error.__cause__
    if "No ONNX function" in str(error):
        return ModelError(f"ONNX has no word for {place}", hint)
    return ModelError(f"torch's exporter fails at {place} ({first_line(error)})", hint)


def _named(single: nn.Module, path: str) -> str:
    inner = unwrapped(path)
    return named(inner, kind_of(single.get_submodule(WRAPPED).get_submodule(inner)))
