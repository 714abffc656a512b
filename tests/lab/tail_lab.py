"""Own what tests of the tail write graphs with, and how they run them and cut them. Test nothing.

onnx is imported late, for doctests are looked for in this module too where it is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeseg.graph.tail import Tail, cut_tail, find_tail

SIZES = "int64[4] sizes = {1, 4, 24, 36}"
RESIZE = 'up = Resize<mode="linear">(scores, , , sizes)'


def model_of(
    body: str,
    *,
    output: str = "float[] out",
    image: str = "float[1, 3, 8, 12] image",
    more: str = SIZES,
    opset: int = 19,
) -> Any:
    """A graph whose Conv (weights ``w``, 4 classes) makes ``scores`` of 8 x 12."""
    import onnx
    import onnx_ir as ir

    channels = 1 if "one = " in body else 4
    weights = np.random.default_rng(0).normal(size=3 * channels)
    numbers = ", ".join(f"{value:.4f}" for value in weights)
    constants = f"float[{channels}, 3, 1, 1] w = {{{numbers}}}" + (f", {more}" if more else "")
    text = f'<ir_version: 9, opset_import: ["" : {opset}]> g ({image}) => ({output}) <{constants}> {{ {body} }}'
    return ir.from_proto(onnx.parser.parse_model(text))


def scored(body: str, **options: Any) -> Any:
    """The graph behind a Conv of 4 classes."""
    return model_of(f"scores = Conv(image, w) {body}", **options)


def single(body: str, **options: Any) -> Any:
    """The graph behind a Conv of one channel."""
    return model_of(f"one = Conv(image, w) {body}", **options)


def run(model: Any) -> np.ndarray:
    """The first output on noise, of a graph that the checker takes."""
    import onnx
    import onnx_ir as ir

    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model))  # the checker wants the outputs' shapes
    onnx.checker.check_model(proto, full_check=True)
    shape = [one.dim_value for one in proto.graph.input[0].type.tensor_type.shape.dim]
    return run_on(model, noise(shape, seed=1))


def run_on(model: Any, image: np.ndarray) -> np.ndarray:
    """The first output, in ONNX Runtime on one thread."""
    import onnx_ir as ir
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def noise(shape: Sequence[int], *, seed: int) -> np.ndarray:
    """Of a normal distribution, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def cut(model: Any, output: str | None = None) -> tuple[Tail, Any]:
    """What was found, and the graph without it: the one that was given."""
    tail = find_tail(model, output)
    cut_tail(model, tail)
    return tail, model


def op_types(model: Any) -> list[str]:
    """Of its nodes in their order."""
    return [node.op_type for node in model.graph]
