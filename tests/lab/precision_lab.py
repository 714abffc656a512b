"""Own what tests of precision write graphs with: a small net with every kind of layer, and its runs. Test nothing.

onnx is imported late, for doctests are looked for in this module too where it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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


HARD_BODY = """
    [stem] a = Conv<pads=[1, 1, 1, 1]>(image, w_stem)
    [stem_relu] ra = Relu(a)
    [loud] b = Conv<pads=[1, 1, 1, 1]>(ra, w_loud)
    [loud_relu] rb = Relu(b)
    [reader] c = Conv<pads=[1, 1, 1, 1]>(rb, w_reader)
    [reader_relu] rc = Relu(c)
    [head] logits = Conv(rc, w_head)
"""
HARD_WIDTH = 32
LOUDNESS = 1024.0


def hard_net() -> Any:
    """Four layers; two channels of what ``reader`` takes are 1024 times as loud as the others, for nothing."""
    import onnx_ir as ir

    width = HARD_WIDTH
    shapes = {
        "w_stem": (width, 3, 3, 3),
        "w_loud": (width, width, 3, 3),
        "w_reader": (width, width, 3, 3),
        "w_head": (CLASSES, width, 1, 1),
    }
    model = net(HARD_BODY, shapes)
    constants = model.graph.initializers
    loud, reader = (np.array(constants[name].const_value.numpy()) for name in ("w_loud", "w_reader"))
    loud[:2] *= LOUDNESS
    reader[:, :2] /= LOUDNESS
    for name, array in (("w_loud", loud), ("w_reader", reader)):
        constants[name].const_value = ir.tensor(array, name=name)
    return model


def frame_bgr(seed: int) -> np.ndarray:
    """A picture of the net's size: large shapes, each another."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def write_frames(folder: Path, *, count: int = 8) -> Path:
    """To calibrate on."""
    import cv2

    folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), frame_bgr(index))
    return folder


def write_labelled(folder: Path, engine: Path, *, count: int = 6) -> Path:
    """Other frames in ``images/``, and the masks of an engine in ``labels/``: what that engine gives is the truth."""
    import cv2

    from edgeseg import Session

    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    with Session(engine, depth=1) as session:
        for index in range(count):
            frame = frame_bgr(100 + index)
            cv2.imwrite(str(folder / "images" / f"{index}.png"), frame)
            cv2.imwrite(str(folder / "labels" / f"{index}.png"), session.segment(frame))
    return folder
