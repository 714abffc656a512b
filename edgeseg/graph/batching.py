"""Own where the batch lies in the values of a graph, and the proof that its images stay apart. Change nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeseg.errors import BuildError
from edgeseg.graph.access import attribute, constant_of, described, shape_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PROBED_BATCH", "batch_axes", "check_batch"]

#: of the proof: no size of a net is a multiple of it by chance, and nothing of that size is ever computed
PROBED_BATCH = 100_003
ONE_IMAGE = "take batches of 1"
#: these keep the order of elements and change the axes alone
RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
#: these work on each image of axis 0 by itself
IMAGEWISE = (
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN", "LpPool", "MaxPool", "Resize",
    "SpaceToDepth",
)  # fmt: skip
#: these mix along the axis of that attribute, by default the one given
ALONG = {
    "ArgMax": 0, "ArgMin": 0, "Concat": 0, "Hardmax": -1, "LogSoftmax": -1, "LpNormalization": -1, "Softmax": -1,
    "TopK": -1, "Split": 0, "Gather": 0, "GatherElements": 0,
}  # fmt: skip
REDUCING = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
#: these take every element, or every row of a product, by itself, sides aligned from the right
ELEMENTWISE = (
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Cos", "DequantizeLinear", "Div", "Dropout", "Elu",
    "Equal", "Erf", "Exp", "Expand", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min", "Mish", "Mod", "Mul", "Neg", "Not",
    "Or", "Pad", "Pow", "PRelu", "QuantizeLinear", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Slice",
    "Softplus", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "ThresholdedRelu", "Tile", "Where",
)  # fmt: skip


def batch_axes(model: ir.Model) -> dict[str, int]:
    """The axis that holds the batch in every value that has one, by the value's name.

    Args:
        model: static, of batch 1, the image's batch in front; left as it is.
    Raises:
        BuildError: a node mixes the images of a batch, or is not known not to.
    """
    axes = {str(model.graph.inputs[0].name): 0}
    for node in model.graph:
        places = {
            index: axes[str(value.name)] for index, value in enumerate(node.inputs) if value and value.name in axes
        }
        if places:
            for output in node.outputs:
                axes[str(output.name)] = _axis_behind(node, output, places)
    return axes


def _axis_behind(node: ir.Node, output: ir.Value, places: Mapping[int, int]) -> int:
    axis = min(places.items())[1]
    shape, rank = shape_of(output), len(shape_of(node.inputs[min(places)]) or ())
    if shape is None or node.domain not in ("", "ai.onnx"):
        raise _refusal(node, "is not known to keep the images of a batch apart")
    if node.op_type in RESHAPING:
        return _reshaped(node, shape, axis)
    if node.op_type == "Transpose":
        return list(attribute(node, "perm", range(rank)[::-1])).index(axis)
    if node.op_type in IMAGEWISE and axis == 0:
        return 0
    if node.op_type in ALONG:
        return _along(node, places, axis, rank)
    if node.op_type in REDUCING:
        return _reduced(node, axis, rank)
    if node.op_type == "LayerNormalization" and attribute(node, "axis", -1) % rank > axis:
        return axis
    if node.op_type == "Slice" and axis in _sliced(node, rank):
        raise _refusal(node, "takes some images of a batch apart")
    if node.op_type in ELEMENTWISE and len(shape) >= rank:
        return axis + len(shape) - rank
    raise _refusal(node, "mixes the images of a batch, or is not known to keep them apart")


def _reshaped(node: ir.Node, shape: tuple[int, ...], axis: int) -> int:
    """The axis that begins where the batch's began: all that is counted slower is as large as before."""
    before = math.prod((shape_of(node.inputs[0]) or ())[:axis])
    for place in range(len(shape)):
        if math.prod(shape[:place]) == before:
            return place
    raise _refusal(node, "puts the images of a batch in one side with others")


def _along(node: ir.Node, places: Mapping[int, int], axis: int, rank: int) -> int:
    opset = node.graph.opset_imports.get("", 0) if node.graph is not None else 0
    default = (
        1 if opset < 13 and node.op_type.endswith("max") and not node.op_type.startswith("Arg") else ALONG[node.op_type]
    )
    along = attribute(node, "axis", default) % rank
    inputs = [index for index, value in enumerate(node.inputs) if value is not None]
    if along == axis or (node.op_type == "Concat" and set(places) != set(inputs)):
        raise _refusal(node, "joins or mixes the images of a batch")
    if node.op_type == "Gather" and 1 not in places and along < axis:
        return axis - 1 + len(shape_of(node.inputs[1]) or ())
    if node.op_type.startswith("Gather") and 1 in places:
        raise _refusal(node, "looks up what differs from image to image")
    is_gone = node.op_type.startswith("Arg") and not attribute(node, "keepdims", 1)
    return axis - 1 if is_gone and along < axis else axis


def _sliced(node: ir.Node, rank: int) -> set[int]:
    """The axes that a Slice of opset 10 or newer cuts."""
    axes = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    return set(range(rank)) if axes is None else {int(one) % rank for one in axes}


def _reduced(node: ir.Node, axis: int, rank: int) -> int:
    given = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    found = attribute(node, "axes") if given is None else given.tolist()
    gone = {one % rank for one in found} if found else set(range(rank))
    if axis in gone:
        raise _refusal(node, "mixes the images of a batch, by going over their axis")
    return axis if attribute(node, "keepdims", 1) else axis - sum(one < axis for one in gone)


def check_batch(single: ir.Model, many: ir.Model, axes: Mapping[str, int]) -> None:
    """Hold a graph whose image has a batch of ``PROBED_BATCH`` against the same of batch 1, shapes inferred in both.

    Args:
        single: of batch 1.
        many: of ``PROBED_BATCH``; nodes have the same names.
        axes: what ``batch_axes`` says of values of ``single``.
    Raises:
        BuildError: somewhere the batch is baked in.
    """
    found = {str(node.name): node for node in many.graph}
    for node in single.graph:
        if str(node.name) not in found:
            continue
        for one, other in zip(node.outputs, found[str(node.name)].outputs, strict=True):
            axis, shape = axes.get(str(one.name)), shape_of(one)
            if axis is None or shape is None:
                continue
            expected = tuple(side * PROBED_BATCH if place == axis else side for place, side in enumerate(shape))
            if shape_of(other) != expected:
                raise _refusal(node, "has one image baked in")


def _refusal(node: ir.Node, why: str) -> BuildError:
    return BuildError(f"{described(node)} {why}", ONE_IMAGE)
