"""Own the reading of an ONNX file and the checks before anything is built of it. Change no graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError, SpecError
from edgeseg.files import read_file
from edgeseg.packages import require
from edgeseg.spec import ModelSpec, sidecar_path

__all__ = ["check_against_spec", "read_graph"]


def read_graph(path: Path) -> tuple[bytes, Any]:
    """Read an ONNX file that has a 4-D image input.

    Returns:
        The file's bytes and the ``onnx.ModelProto``.
    Raises:
        ModelError: missing, empty, no ONNX, or without such an input.
    """
    onnx = require("onnx")
    protobuf_error = require("google.protobuf.message").DecodeError
    data = read_file(path, error=ModelError, make_it="export it with 'edgeseg export'")
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except (protobuf_error, onnx.checker.ValidationError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path} is no valid ONNX file ({text})", "export it with 'edgeseg export'") from error
    image_shape(path, model)
    return data, model


def image_shape(path: Path, model: Any) -> tuple[str, tuple[int | str, ...]]:
    """Name and shape of the only input, NCHW; a free dimension is its name.

    Raises:
        ModelError: not one 4-D input.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    shapes = {one.name: _shape_of(one) for one in inputs}
    if len(shapes) != 1 or len(next(iter(shapes.values()))) != 4:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
        raise ModelError(f"{path} has the inputs {told}", "a net takes one 4-D image, (1, channels, height, width)")
    return next(iter(shapes.items()))


def check_against_spec(path: Path, model: Any, spec: ModelSpec) -> None:
    """Hold names and shapes of a graph against its sidecar.

    Raises:
        SpecError: they differ.
    """
    sidecar = sidecar_path(path)
    name, shape = image_shape(path, model)
    if name != spec.input.name or shape != spec.input.shape:
        raise SpecError(
            f"{path} takes {name} {shape} where {sidecar} says {spec.input.name} {spec.input.shape}",
            "run 'edgeseg export' again",
        )
    outputs = [one.name for one in model.graph.output]
    if spec.head.output not in outputs:
        raise SpecError(
            f"{path} gives {', '.join(outputs)} where {sidecar} says {spec.head.output}", "run 'edgeseg export' again"
        )


def _shape_of(value: Any) -> tuple[int | str, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(one.dim_value if one.HasField("dim_value") else one.dim_param or "?" for one in dimensions)
