"""Own the way from a module to an ONNX graph by torch's exporter. Check no numbers, write no file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeseg.errors import ModelError
from edgeseg.export.blame import failing_operator, first_line, place_of
from edgeseg.export.notes import Scope, keep_places, scopes_of
from edgeseg.export.opset import TORCH_OPSET, check_opset, lower_to_17
from edgeseg.export.outputs import WRAPPED
from edgeseg.export.profiles import ONE_SIZE, free_axes, is_constraint, name_axes, refused
from edgeseg.packages import require
from edgeseg.spec import ProfileSpec

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

__all__ = ["INPUT_NAME", "OUTPUT_NAME", "Traced", "trace"]

INPUT_NAME, OUTPUT_NAME = "image", "logits"

#: what the code of a net raises while torch runs it on tensors without values
TRACING_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A net as an ONNX graph; ``scopes`` says of every operator that torch saw in which calls of modules it was."""

    model: ir.Model
    scopes: Mapping[str, tuple[Scope, ...]]


def trace(single: nn.Module, shape: tuple[int, ...], *, opset: int, profile: ProfileSpec | None) -> Traced:
    """Export a module with one input and one output.

    Args:
        single: see ``outputs.single_output``.
        shape: of the image, NCHW; the largest one where a profile leaves axes open.
        opset: 17 to 23.
        profile: the axes that stay open; none without it.
    Raises:
        ModelError: torch cannot trace the net or has no ONNX for an operator, or the graph has no such opset.
    """
    require("onnxscript")
    program = _captured(single, shape, profile)
    made = _translated(program, opset, profile)
    if profile is not None:
        name_axes(made, profile)
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
        with _quiet():
            program: ExportedProgram = torch.export.export(
                single, (torch.zeros(shape),), dynamic_shapes=(axes,) if axes else None
            )
    except TRACING_ERRORS as error:
        raise _untraceable(error, single) from error
    return program


def _untraceable(error: Exception, single: nn.Module) -> ModelError:
    torch = require("torch")
    if is_constraint(error):
        return refused(error)
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


def _translated(program: ExportedProgram, opset: int, profile: ProfileSpec | None) -> ONNXProgram:
    torch = require("torch")
    try:
        with _quiet():
            made: ONNXProgram = torch.onnx.export(
                program,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                opset_version=max(opset, TORCH_OPSET),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        operator, module = failing_operator(error) or ("an operator", "")
        place = module.removeprefix(WRAPPED).removeprefix(".").strip()
        raise ModelError(
            f"torch has no ONNX for {operator}{f' in {place}' if place else ''} ({_cause(error)})",
            "write it with other operators" + (f", or {ONE_SIZE}" if profile is not None else ""),
        ) from error
    return made


def _cause(error: BaseException) -> str:
    """The error that started it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's own notes from the user: what fails is raised, and what it makes is checked afterwards.

    It warns of its own deprecations, logs which operators of torchvision it leaves out, and prints whole graphs.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
