"""Own the runs of a graph that give away what is inside it: ranges of its tensors, or the tensors. Judge nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ModelError
from edgeseg.graph.access import shape_of
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Measured", "Probe", "float_values", "in_groups"]

REDUCTIONS = ("ReduceMin", "ReduceMax", "ReduceSum")
# NCHWc, the level above, computes a fifth faster, but cannot reorder weights of 2 GiB and more (1.31)
REORDERED_BYTES = 1 << 31


class Measured(NamedTuple):
    """Of each tensor in turn, float32 (tensors,). Only ``sums`` show NaN; see ``Probe``."""

    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    sums: NDArray[np.float32]


def float_values(model: ir.Model) -> list[ir.Value]:
    """The float32 tensors of a graph that depend on the run: its input and what nodes give, in the graph's order.

    Those within a node's own graph (If, Loop) are not among them.
    """
    onnx_ir = require("onnx_ir")
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    return [
        value
        for value in values
        if value.name and isinstance(value.type, onnx_ir.TensorType) and value.dtype == onnx_ir.DataType.FLOAT
    ]


def in_groups(values: Sequence[ir.Value], held_bytes: int) -> list[tuple[str, ...]]:
    """Names of float32 values in groups that take ``held_bytes`` at most, or are one value; in their order.

    A value whose size is only known in the run is a group of its own.
    """
    groups, left = list[tuple[str, ...]](), 0
    for value in values:
        shape = shape_of(value)
        size = held_bytes if shape is None else 4 * prod(shape)
        if groups and size <= left:
            groups[-1] += (value.name or "",)
            left -= size
        else:
            groups.append((value.name or "",))
            left = held_bytes - size
    return groups


class Probe:
    """A graph in ONNX Runtime on the CPU, cut down to what leads to the tensors that are asked for.

    Smallest and largest value and sum are found by nodes that are added to the graph, so that a tensor need not leave
    it. ReduceMin and ReduceMax pass over a NaN in most places (ONNX Runtime 1.31: never seen in a tensor of 189
    values); ReduceSum always hands it on, at a hundredth of the time.

    Args:
        model: with one input; left as it is.
        folder: where its external weights lie.
        fetched: names of values that ``run`` gives as they are.
        measured: names of float32 values whose range ``run`` gives.
    Raises:
        ModelError: ONNX Runtime cannot load the graph.
    """

    def __init__(
        self, model: ir.Model, folder: Path, *, fetched: Sequence[str] = (), measured: Sequence[str] = ()
    ) -> None:
        self.fetched, self._reduced = tuple(fetched), len(measured)
        probed = model.clone()
        outputs = _exposed(probed, self.fetched, measured)
        self._input = str(probed.graph.inputs[0].name)
        self._outputs = [str(value.name) for value in outputs]
        self._session = _session(probed, folder)

    def run(self, tensor: NDArray[Any]) -> tuple[list[NDArray[Any]], Measured]:
        """Put one image through the graph.

        Args:
            tensor: the graph's input.
        Returns:
            ``fetched`` and the ranges of ``measured``, both in the order asked for; owned by the caller.
        Raises:
            ModelError: a node fails.
        """
        state = require("onnxruntime").capi.onnxruntime_pybind11_state
        try:
            arrays = self._session.run(self._outputs, {self._input: tensor})
        except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
            raise ModelError(f"ONNX Runtime cannot run the graph ({_first_line(error)})", RUN_HINT) from error
        count = len(self.fetched)
        rows = np.array(arrays[count:], np.float32).reshape(len(REDUCTIONS), self._reduced)
        return arrays[:count], Measured(*rows)


RUN_HINT = "calibration needs a graph that ONNX Runtime runs; export it again, perhaps with another --opset"


def _exposed(model: ir.Model, fetched: Sequence[str], measured: Sequence[str]) -> list[ir.Value]:
    """Make what is asked for the outputs of the graph, by reductions where only ranges are."""
    values = {value.name: value for value in float_values(model)}
    reduced = [[_reduction(op, values[name]) for name in measured] for op in REDUCTIONS]
    # From the last tensor to the first: ONNX Runtime follows the last node back to its inputs first (1.31), and so
    # reads every tensor while it is there anyway. In the order of the graph all tensors would wait for the end.
    model.graph.extend([node for nodes in zip(*reduced, strict=True) for node in nodes][::-1])
    outputs = [values[name] for name in fetched] + [node.outputs[0] for nodes in reduced for node in nodes]
    model.graph.outputs[:] = outputs
    require("onnx_ir.passes.common").RemoveUnusedNodesPass()(model)
    return outputs


def _reduction(op: str, value: ir.Value) -> ir.Node:
    onnx_ir = require("onnx_ir")
    name = f"edgeseg:{op}:{value.name}"
    scalar = onnx_ir.Value(name=name, type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT), shape=onnx_ir.Shape(()))
    node: ir.Node = onnx_ir.node(op, [value], {"keepdims": 0}, outputs=[scalar], name=name)
    return node


def _session(model: ir.Model, folder: Path) -> Any:
    runtime, onnx_ir = require("onnxruntime"), require("onnx_ir")
    state, options = runtime.capi.onnxruntime_pybind11_state, runtime.SessionOptions()
    options.log_severity_level = 4  # fatal; errors are raised
    # from the second run on one block for all tensors, while what the first run took is kept: 634 MiB instead of 398
    # for the demo net at 1024x2048, and no faster
    options.enable_mem_pattern = False
    weights = [value.const_value for value in model.graph.initializers.values()]
    if max((one.nbytes for one in weights if one is not None), default=0) >= REORDERED_BYTES:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    try:
        return runtime.InferenceSession(
            onnx_ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except (state.Fail, state.InvalidGraph, state.NotImplemented, state.RuntimeException) as error:
        raise ModelError(f"ONNX Runtime cannot load the graph ({_first_line(error)})", RUN_HINT) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
