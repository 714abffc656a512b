"""Folding the normalisation: the engine takes pixels, and the numbers stay what they were."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.errors import ModelError
from edgeseg.graph.normalising import fold_normalisation
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import FrameOptions, InputSpec

# a product and a sum in another order, in float32
ROUNDING = 1e-5


def conv_net(image: InputSpec) -> ir.Model:
    """A padded convolution, whose border shows a normalisation that was folded into weights."""
    weights = np.random.default_rng(0).normal(size=(4, image.channels, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["y"], name="stem", pads=[1, 1, 1, 1])],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, *image.size_hw))],
        [numpy_helper.from_array(weights, "w")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))


def run(model: ir.Model, tensor: np.ndarray) -> np.ndarray:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": tensor})[0])


@pytest.mark.parametrize("colour", ["RGB", "BGR", "GRAY"])
def test_pixels_into_the_folded_graph_give_what_normalised_pixels_gave(colour: str) -> None:
    values = {"mean": (0.5,), "std": (0.2,)} if colour == "GRAY" else {}
    image = FrameOptions(colour=colour, **values).input_spec(name="image", size_hw=(8, 12))
    frame_bgr = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    if colour == "GRAY":
        frame_bgr[:] = frame_bgr[..., :1]  # whose grey level is a whole number, so that rounding changes nothing
    model = conv_net(image)
    before = run(model, Preprocessor(image).tensor(frame_bgr))
    folded = fold_normalisation(model, image)
    pixels = Preprocessor(folded).tensor(frame_bgr)
    assert pixels.dtype == np.uint8 and pixels.max() > 1
    np.testing.assert_allclose(run(model, pixels), before, atol=ROUNDING * np.abs(before).max())


def test_a_uint8_input_has_nothing_to_fold() -> None:
    image = FrameOptions(mean=(0.0,) * 3, std=(1 / 255,) * 3).input_spec(name="image", size_hw=(8, 12), dtype="uint8")
    with pytest.raises(ModelError, match="takes uint8 pixels already"):
        fold_normalisation(conv_net(image), image)
