"""Own what tests of precision write graphs with: a small net with every kind of layer, and its runs. Test nothing.

onnx is imported late, for doctests are looked for in this module too where it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: two convolutions with a residual addition, a pooling, a deconvolution, a concatenation and a product
BODY = """
    [stem] a = Conv<pads=[1, 1, 1, 1]>(image, w_stem, b_stem)
    [stem_relu] ra = Relu(a)
    [block] b = Conv<pads=[1, 1, 1, 1]>(ra, w_block)
    [add] c = Add(b, ra)
    [add_relu] rc = Relu(c)
    [pool] p = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(rc)
    [up] u = ConvTranspose<strides=[2, 2]>(p, w_up)
    [cat] k = Concat<axis=1>(u, rc)
    [head] logits = Conv(k, w_head, b_head)
"""
SIZE_HW = (16, 24)
CHANNELS = 8
CLASSES = 4
SHAPES: dict[str, tuple[int, ...]] = {
    "w_stem": (CHANNELS, 3, 3, 3),
    "b_stem": (CHANNELS,),
    "w_block": (CHANNELS, CHANNELS, 3, 3),
    "w_up": (CHANNELS, CHANNELS, 2, 2),
    "w_head": (CLASSES, 2 * CHANNELS, 1, 1),
    "b_head": (CLASSES,),
}


def net(
    body: str = BODY,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    *,
    factors: Mapping[str, float] | None = None,
    integers: Mapping[str, int] | None = None,
    opset: int = 19,
) -> Any:
    """The graph, its weights random and the same in every run; ``factors`` enlarge some of them."""
    import onnx
    import onnx_ir as ir

    from edgeseg.graph.access import infer_shapes

    text = (
        f'<ir_version: 9, opset_import: ["" : {opset}]> '
        f"g (float[1, 3, {SIZE_HW[0]}, {SIZE_HW[1]}] image) => (float[] logits) {{ {body} }}"
    )
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        numbers = rng.normal(size=shape) / max(np.sqrt(np.prod(shape[1:])), 1.0) * (factors or {}).get(name, 1.0)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(numbers.astype(np.float32), name))
    for name, number in (integers or {}).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([number]), name))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    infer_shapes(model)
    return model


def picture(seed: int = 1) -> np.ndarray:
    """What the net takes: float32 noise around 0."""
    return np.random.default_rng(seed).normal(size=(1, 3, *SIZE_HW)).astype(np.float32)


def run(model: Any, image: np.ndarray | None = None) -> np.ndarray:
    """The first output, of a graph that the checker takes."""
    import onnx
    import onnx_ir as ir
    import onnxruntime

    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": picture() if image is None else image})[0])


def noise_ratio_db(exact: np.ndarray, other: np.ndarray) -> float:
    """Signal to noise: 10 log10(sum of squares / sum of squared errors)."""
    error = float(((exact.astype(np.float64) - other) ** 2).sum())
    return float("inf") if error == 0 else 10 * float(np.log10((exact.astype(np.float64) ** 2).sum() / error))


def quantisation_of(model: Any, kind: Any = "int8", *, leave: tuple[str, ...] = ()) -> Any:
    """Every layer's input and weights, the addition and the pooling, with the ranges of one picture."""
    import onnx_ir as ir

    from edgeseg.graph.qdq import LARGEST_CODE, LAYERS, Quantisation, sites_in, weight_scales

    places = [(node.name, 0) for node in model.graph if node.op_type in (*LAYERS, "MaxPool") and node.name not in leave]
    places += [(node.name, 1) for node in model.graph if node.op_type in (*LAYERS, "Add") and node.name not in leave]
    sites = tuple(sites_in(model, places))
    scales = weight_scales(model, sites, kind)
    wanted = [site.tensor for site in sites if site.tensor not in scales]
    probe = model.clone()
    values = {value.name: value for node in probe.graph for value in node.outputs}
    for name in wanted:
        if name in values and not values[name].is_graph_output():
            probe.graph.outputs.append(values[name])
    import onnxruntime

    session = onnxruntime.InferenceSession(ir.to_proto(probe).SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    seen = dict(zip(names, session.run(None, {"image": picture()}), strict=True)) | {"image": picture()}
    for name in wanted:
        scales[name] = np.float32(np.abs(seen[name]).max() / LARGEST_CODE[kind]).reshape(())
    return Quantisation(kind=kind, sites=sites, scales=scales)
