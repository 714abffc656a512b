"""Own nets of four layers, any number of classes and any size, and their engines. Measure nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.packages import require

__all__ = ["STRIDE", "small_engine"]

STRIDE = 8
LAYERS = ((16, 2, 3), (16, 2, 3), (32, 2, 3))  # channels, stride, kernel; then the head


def small_engine(folder: Path, *, classes: int, size_hw: tuple[int, int]) -> Path:
    """An OpenVINO engine of random weights whose scores come at a stride of 8; built once for a folder."""
    stem = folder / f"small-{classes}-{size_hw[0]}x{size_hw[1]}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    onnx, engine = stem.with_suffix(".onnx"), stem.with_suffix(".engine")
    require("onnx").save(_model(classes, size_hw), onnx)
    build_engine(onnx, engine, BuildOptions(backend="openvino", precision="fp32"))
    return engine


def _model(classes: int, size_hw: tuple[int, int]) -> object:
    onnx = require("onnx")
    helper, float32, rng = onnx.helper, onnx.TensorProto.FLOAT, np.random.default_rng(0)
    nodes, weights, value, channels = [], [], "image", 3
    for index, (width, stride, kernel) in enumerate((*LAYERS, (classes, 1, 1))):
        shape = (width, channels, kernel, kernel)
        drawn = rng.normal(0, np.sqrt(2 / (channels * kernel * kernel)), shape).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(drawn, f"weight{index}"))
        is_head = index == len(LAYERS)
        made = "logits" if is_head else f"conv{index}"
        pads, strides = [kernel // 2] * 4, [stride] * 2
        nodes.append(helper.make_node("Conv", [value, f"weight{index}"], [made], strides=strides, pads=pads))
        if not is_head:
            nodes.append(helper.make_node("Relu", [made], [f"relu{index}"]))
        value, channels = f"relu{index}", width
    image = helper.make_tensor_value_info("image", float32, [1, 3, *size_hw])
    scores = [1, classes, size_hw[0] // STRIDE, size_hw[1] // STRIDE]
    logits = helper.make_tensor_value_info("logits", float32, scores)
    graph = helper.make_graph(nodes, "small", [image], [logits], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
