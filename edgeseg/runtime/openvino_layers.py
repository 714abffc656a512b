"""Own what OpenVINO says of a loaded engine's layers: kinds, types, constants. Run no engine."""

from __future__ import annotations

import math
from typing import Any

from edgeseg.runtime.engines.openvino import import_plan
from edgeseg.runtime.layer_facts import LayerFact, plan_facts
from edgeseg.spec import EngineSpec, PlanFacts

__all__ = ["facts_and_layers", "layers_of_graph"]

#: nodes of the execution graph that are no layers
NO_LAYERS = ("Input", "Output")
#: layers that move, convert or index
MOVING = (
    *("Reorder", "Reshape", "Transpose", "Concatenation", "Split", "StridedSlice", "Gather", "GatherElements"),
    *("Broadcast", "Pad", "ShapeOf", "Convert", "SpaceToDepth", "DepthToSpace", "Tile"),
)
PRECISIONS = {"f32": "FP32", "f16": "FP16", "bf16": "BF16", "i8": "INT8", "u8": "INT8"}
SIZES = {"f32": 4, "f16": 2, "bf16": 2, "i8": 1, "u8": 1, "boolean": 1, "i32": 4, "u32": 4, "i64": 8, "u64": 8}


def facts_and_layers(spec: EngineSpec, plan: bytes) -> tuple[PlanFacts, tuple[LayerFact, ...]]:
    """The execution graph: what the CPU plugin made of the net, each layer with the type that its kernel computes in.

    Codes of INT8 are signed or not by the layer before; both count as INT8. Weights are the graph's
    constants.

    Raises:
        EngineError: the engine does not load here.
    """
    return layers_of_graph(import_plan(spec, plan).get_runtime_model())


def layers_of_graph(graph: Any) -> tuple[PlanFacts, tuple[LayerFact, ...]]:
    """The same of an execution graph, as ``CompiledModel.get_runtime_model`` gives it."""
    constant: set[str] = set()
    layers, weight_bytes = [], 0
    for node in graph.get_ordered_ops():
        name, told = node.get_friendly_name(), _told(node)
        kind = told.get("layerType", node.get_type_name())
        if kind == "Const":
            weight_bytes += _bytes_of(node)
        if kind == "Const" or _is_constant(node, constant):
            constant.add(name)
        elif kind not in NO_LAYERS:
            layers.append(_layer(node, kind, told))
    return plan_facts(layers, weight_bytes=weight_bytes), tuple(layers)


def _told(node: Any) -> dict[str, str]:
    return {key: str(one.value) for key, one in node.get_rt_info().items()}


def _layer(node: Any, kind: str, told: dict[str, str]) -> LayerFact:
    return LayerFact(
        name=node.get_friendly_name(),
        kind=kind,
        precision=None if kind in MOVING else PRECISIONS.get(told.get("runtimePrecision", "")),
        is_moving=kind in MOVING,
        origins=tuple(filter(None, told.get("originalLayersNames", "").split(","))),
        moved_bytes=_moved_bytes(node),
    )


def _moved_bytes(node: Any) -> int | None:
    """Of a node of fixed shapes; its constants are among its inputs."""
    sizes = [_stored_bytes(one.get_source_output()) for one in node.inputs()]
    sizes += [_stored_bytes(one) for one in node.outputs()]
    known = [one for one in sizes if one is not None]
    return sum(known) if len(known) == len(sizes) else None


def _stored_bytes(output: Any) -> int | None:
    """The element type in the graph's own words: the graph's ports have the model's, which may be another."""
    types = _told(output.get_node()).get("outputPrecisions", "").split(",")
    index, shape = output.get_index(), output.get_partial_shape()
    if not shape.is_static or index >= len(types) or types[index] not in SIZES:
        return None
    return int(SIZES[types[index]] * math.prod(shape.to_shape()))


def _is_constant(node: Any, constant: set[str]) -> bool:
    """What stands on constants alone is done once, when the engine is loaded."""
    sources = [one.get_source_output().get_node().get_friendly_name() for one in node.inputs()]
    return bool(sources) and constant.issuperset(sources)


def _bytes_of(constant: Any) -> int:
    """Of numbers to compute with; int32 and int64 are shapes and indices."""
    output = constant.output(0)
    if output.get_element_type().get_type_name() not in PRECISIONS:
        return 0
    return int(math.prod(output.get_shape()) * output.get_element_type().size)
